package codec_test

import (
	"fmt"

	"fengsui/devices/codec"
)

func ExampleHouse() {
	var house codec.House
	err := house.Decode([]byte(`{"ts":1782541925000,"values":{"gas_lel_pct":12.6,"valve_state":"shut"}}`), func(s *codec.Sample) error {
		for _, v := range s.Values {
			fmt.Printf("%s is %v\n", v.Name, v.Number)
		}
		for _, e := range s.Errors {
			fmt.Printf("%v: %s\n", e, e.Hint)
		}
		return nil
	})
	fmt.Println(err)
	fmt.Println(house.Decode([]byte(`{"values":{}} 12`), nil))
	// Output:
	// gas_lel_pct is 12.6
	// byte 63: field "valve_state": found the text "shut" where a number belongs: send a number, or null where there is none
	// <nil>
	// byte 14: invalid character '1' after top-level value
}
