package broker

import (
	server "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// hook is where the MQTT server asks us: who may connect, who may subscribe to
// what, and what the CONNACK says.
type hook struct {
	server.HookBase
	broker *Broker
}

func (*hook) ID() string { return "fengsui" }

func (*hook) Provides(what byte) bool {
	switch what {
	case server.OnConnect, server.OnConnectAuthenticate, server.OnSessionEstablish, server.OnSessionEstablished,
		server.OnPacketEncode, server.OnACLCheck, server.OnClientExpired:
		return true
	}
	return false
}

// sessionOf returns the connection of a client; nil for the gateway's own.
func sessionOf(cl *server.Client) *session {
	s, _ := cl.Net.Conn.(*session)
	return s
}

// OnConnect links the client to its connection. It takes the will away from the
// server, which would publish it past the log, and even for a client that we
// have sent away.
func (h *hook) OnConnect(cl *server.Client, pk packets.Packet) error {
	s := sessionOf(cl)
	s.client = cl
	s.SetVersion(cl.Properties.ProtocolVersion)
	s.will = newWill(&pk)
	cl.Properties.Will = server.Will{}
	return nil
}

func (h *hook) OnConnectAuthenticate(cl *server.Client, pk packets.Packet) bool {
	s := sessionOf(cl)
	err := h.broker.identify(s, Login{
		Client:   cl.ID,
		User:     string(pk.Connect.Username),
		Password: pk.Connect.Password,
		Remote:   cl.Net.Remote,
	})
	if err != nil {
		s.refused = err
		h.broker.refusals.add(s.refusal(Connect, codeOf(err), "", err.Error()))
	}
	return err == nil
}

// OnSessionEstablish is called before the server ends the client's connection
// before, OnSessionEstablished after the CONNACK.
func (h *hook) OnSessionEstablish(cl *server.Client, _ packets.Packet) {
	h.broker.takeTurn(sessionOf(cl))
}

func (h *hook) OnSessionEstablished(cl *server.Client, _ packets.Packet) {
	h.broker.enter(sessionOf(cl))
}

// OnPacketEncode tells MQTT 5 clients, in their CONNACK, the limits that the
// server below does not know of, and that they may come later.
func (h *hook) OnPacketEncode(cl *server.Client, pk packets.Packet) packets.Packet {
	if pk.FixedHeader.Type != packets.Connack {
		return pk
	}
	if pk.ReasonCode == packets.CodeSuccess.Code {
		pk.Properties.MaximumPacketSize = uint32(h.broker.o.maxPacket())
		pk.Properties.SharedSubAvailable = 0
		pk.Properties.SharedSubAvailableFlag = true
		return pk
	}
	if s := sessionOf(cl); s != nil && s.Version() == 5 && mayComeLater(s.refused) {
		pk.ReasonCode, pk.Properties.ReasonString = codeQuota, clip(s.refused.Error(), 100)
	}
	return pk
}

// mayComeLater is true of a client that is known, and let in when there is room.
func mayComeLater(refused error) bool {
	code := codeOf(refused)
	return code == RefusedPaused || code == RefusedQuota
}

// OnACLCheck is asked for subscriptions and deliveries only; a publish that got
// here would be acknowledged without being kept, so it is not let through.
func (h *hook) OnACLCheck(cl *server.Client, filter string, write bool) bool {
	s := sessionOf(cl)
	if write || s == nil || s.identity == nil {
		return false
	}
	switch {
	case !delivered(filter):
		h.broker.refusals.add(s.refusal(Subscribe, RefusedNotOurs, filter, errNotOurs.Error()))
		return false
	case !s.identity.MayRead(filter):
		h.broker.refusals.add(s.refusal(Subscribe, RefusedNotAuthorized, filter, s.who()+" may not subscribe to "+filter))
		return false
	}
	return true
}

// OnClientExpired removes the subscriptions of a session that has expired; the
// server forgets to.
func (h *hook) OnClientExpired(cl *server.Client) { h.broker.server.UnsubscribeClient(cl) }
