package devices

import "fengsui/devices/codec"

// Codes lists every code under which a message or a field can be quarantined,
// for those who count by it.
func Codes() []string {
	return []string{
		CodeBadTopic, CodeUnknownSite, CodeUnknownDevice, CodeBadStatus, CodeUnknownField, CodeDuplicateField, CodeForeignDevice, CodeNoParam, CodeBadClock, CodeGatewayFault, CodeMore,
		codec.CodeEmpty, codec.CodeTooLarge, codec.CodeTooDeep, codec.CodeBadJSON, codec.CodeNotAnObject, codec.CodeNoValues,
		codec.CodeDuplicate, codec.CodeBadTime, codec.CodeBadSeq, codec.CodeNotANumber, codec.CodeNotFinite, codec.CodeNested, codec.CodeUnknownWord, codec.CodeSensorFault,
	}
}
