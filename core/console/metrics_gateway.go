package console

import (
	"maps"
	"slices"

	"github.com/weir-edge/weir/core"
)

func brokerFamilies() []family {
	broker := func(value func(*core.BrokerStatus) uint64) func(*core.Status, emit) {
		return func(st *core.Status, e emit) { e(float64(value(&st.Broker))) }
	}
	return []family{
		gauge("weir_broker_clients", "Connected clients.", single(func(st *core.Status) int { return st.Broker.Connections })),
		gauge("weir_broker_sessions", "Sessions, connected or not.", single(func(st *core.Status) int { return st.Broker.Sessions })),
		gauge("weir_broker_subscriptions", "Subscriptions.", single(func(st *core.Status) int { return st.Broker.Subscriptions })),
		gauge("weir_broker_retained", "Retained messages.", single(func(st *core.Status) int { return st.Broker.Retained })),
		gauge("weir_listener_connections", "Connected clients by listener.", func(st *core.Status, e emit) {
			for _, l := range st.Broker.Listeners {
				e(float64(l.Connections), l.Name, l.Protocol)
			}
		}, "listener", "protocol"),
		gauge("weir_broker_retained_bytes", "Memory of retained messages.", single(func(st *core.Status) uint64 { return uint64(st.Broker.RetainedBytes) })),
		counter("weir_broker_store_waits_total", "Times that a client was held back because it was faster than the disk.", broker(func(b *core.BrokerStatus) uint64 { return b.StoreWaits })),
		counter("weir_broker_held_total", "Times that a client was kept to limits.publish_rate.", broker(func(b *core.BrokerStatus) uint64 { return b.Held })),
		counter("weir_broker_connects_total", "Connections taken.", broker(func(b *core.BrokerStatus) uint64 { return b.Connects })),
		counter("weir_broker_refused_total", "Connections refused or ended, by reason.", func(st *core.Status, e emit) { byReason(e, st.Broker.Refused) }, "reason"),
		counter("weir_broker_messages_received_total", "Messages from clients, adapters and bridges.", broker(func(b *core.BrokerStatus) uint64 { return b.MessagesReceived })),
		counter("weir_broker_messages_sent_total", "Messages to clients and bridges.", broker(func(b *core.BrokerStatus) uint64 { return b.MessagesSent })),
		counter("weir_broker_messages_dropped_total", "Messages dropped, by reason.", func(st *core.Status, e emit) { byReason(e, st.Broker.Dropped) }, "reason"),
		counter("weir_broker_bytes_received_total", "Bytes from clients.", broker(func(b *core.BrokerStatus) uint64 { return b.BytesReceived })),
		counter("weir_broker_bytes_sent_total", "Bytes to clients.", broker(func(b *core.BrokerStatus) uint64 { return b.BytesSent })),
	}
}

// authFamilies have no samples where nobody has a user name.
func authFamilies() []family {
	gaugeOf := func(value func(*core.AuthStatus) int) func(*core.Status, emit) {
		return func(st *core.Status, e emit) {
			if st.Auth != nil {
				e(float64(value(st.Auth)))
			}
		}
	}
	return []family{
		gauge("weir_auth_users", "Users of the users file.", gaugeOf(func(a *core.AuthStatus) int { return a.Users })),
		gauge("weir_auth_waiting", "Logins that wait for their check.", gaugeOf(func(a *core.AuthStatus) int { return a.Waiting })),
		gauge("weir_auth_held_off", "Addresses and user names that are held off after wrong passwords.", gaugeOf(func(a *core.AuthStatus) int { return a.HeldOff })),
		counter("weir_auth_logins_total", "Logins, by result.", func(st *core.Status, e emit) {
			if st.Auth != nil {
				byReason(e, st.Auth.Logins)
			}
		}, "result"),
	}
}

func bufferFamilies() []family {
	buffer := func(value func(*core.BufferStatus) uint64) func(*core.Status, emit) {
		return func(st *core.Status, e emit) { e(float64(value(&st.Buffer))) }
	}
	return []family{
		gauge("weir_buffer_messages", "Messages on disk and owed, each counted once.", buffer(func(b *core.BufferStatus) uint64 { return b.Messages })),
		gauge("weir_buffer_held_messages", "Messages in memory only, their debts open.", single(func(st *core.Status) int { return st.Buffer.Held })),
		gauge("weir_buffer_bytes", "Size of the store on disk.", buffer(func(b *core.BufferStatus) uint64 { return b.Bytes })),
		gauge("weir_buffer_budget_bytes", "Size that the store may reach.", buffer(func(b *core.BufferStatus) uint64 { return b.Budget })),
		gauge("weir_buffer_oldest_seconds", "Age of the oldest message owed.", single(func(st *core.Status) float64 { return st.Buffer.OldestSeconds })),
		gauge("weir_buffer_segments", "Segments of the log on disk.", single(func(st *core.Status) int { return st.Buffer.Segments })),
		gauge("weir_buffer_quarantined", "Segments set aside because they could not be read.", single(func(st *core.Status) int { return st.Buffer.Quarantined })),
		gauge("weir_buffer_full_seconds", "Time until the budget or the disk is used up at this rate; 0: nothing piles up.", single(func(st *core.Status) float64 { return st.Buffer.FullSeconds })),
		counter("weir_buffer_written_messages_total", "Messages written to disk.", buffer(func(b *core.BufferStatus) uint64 { return b.Written })),
		counter("weir_buffer_written_bytes_total", "Bytes of pages given to the disk.", buffer(func(b *core.BufferStatus) uint64 { return b.WrittenBytes })),
		counter("weir_buffer_commits_total", "Group commits.", buffer(func(b *core.BufferStatus) uint64 { return b.Commits })),
		counter("weir_buffer_dropped_total", "Messages that are owed no more without having been delivered, by reason.", func(st *core.Status, e emit) { byReason(e, st.Buffer.Dropped) }, "reason"),
		gauge("weir_buffer_state", "State of the store: 1 for the one that holds.", func(st *core.Status, e emit) {
			for _, s := range []string{"ok", "full", "failed", "hangs"} {
				e(truth(st.Buffer.State == s), s)
			}
		}, "state"),
		gauge("weir_buffer_hangs_seconds", "Time for which the disk has not answered; 0: it does, or was not asked.", single(func(st *core.Status) float64 { return st.Buffer.HangsSeconds })),
		gauge("weir_disk_free_bytes", "Free space of the store's file system.", buffer(func(b *core.BufferStatus) uint64 { return b.FreeBytes })),
	}
}

func bridgeFamilies() []family {
	each := func(value func(*core.BridgeStatus) float64) func(*core.Status, emit) {
		return func(st *core.Status, e emit) {
			for i := range st.Bridges {
				e(value(&st.Bridges[i]), st.Bridges[i].Name)
			}
		}
	}
	return []family{
		gauge("weir_bridge_up", "Whether the bridge is connected to its upstream.", each(func(b *core.BridgeStatus) float64 { return truth(b.State == "connected") }), "bridge"),
		gauge("weir_bridge_resting", "Whether the bridge is not connected because its configuration wants it so.", each(func(b *core.BridgeStatus) float64 { return truth(b.State == "resting") }), "bridge"),
		gauge("weir_bridge_rtt_seconds", "Time from a message to its acknowledgement.", each(func(b *core.BridgeStatus) float64 { return b.RTT }), "bridge"),
		gauge("weir_bridge_gathering", "Whether the messages of a steady stream wait for each other, so that several share a write.", each(func(b *core.BridgeStatus) float64 { return truth(b.Gathering) }), "bridge"),
		counter("weir_bridge_writes_total", "Writes to the upstream.", each(func(b *core.BridgeStatus) float64 { return float64(b.Writes) }), "bridge"),
		gauge("weir_bridge_inflight", "Messages sent and not acknowledged.", each(func(b *core.BridgeStatus) float64 { return float64(b.Inflight) }), "bridge"),
		gauge("weir_bridge_inflight_max", "Messages that may be on their way at a time.", each(func(b *core.BridgeStatus) float64 { return float64(b.Window) }), "bridge"),
		gauge("weir_bridge_owed_messages", "Messages owed to the upstream.", each(func(b *core.BridgeStatus) float64 {
			owed := uint64(0)
			for _, r := range b.Rules {
				owed += r.Owed
			}
			return float64(owed)
		}), "bridge"),
		gauge("weir_bridge_drain_messages_per_second", "How fast what is owed gets less; negative: it grows.", each(func(b *core.BridgeStatus) float64 { return b.DrainRate }), "bridge"),
		gauge("weir_bridge_full_seconds", "Time until the store is full, while what is owed grows; else 0.", each(func(b *core.BridgeStatus) float64 { return b.FullSeconds }), "bridge"),
		gauge("weir_bridge_rule_owed_messages", "Messages owed to a rule.", eachRule(func(r *core.RuleStatus) float64 { return float64(r.Owed) }, add), "bridge", "rule"),
		gauge("weir_bridge_rule_owed_bytes", "Bytes owed to a rule, roughly.", eachRule(func(r *core.RuleStatus) float64 { return float64(r.Bytes) }, add), "bridge", "rule"),
		gauge("weir_bridge_rule_oldest_seconds", "Age of the oldest message owed to a rule.", eachRule(func(r *core.RuleStatus) float64 { return r.Oldest }, larger), "bridge", "rule"),
		counter("weir_bridge_rule_dropped_total", "Messages that a rule dropped, by reason.", ruleReasons, "bridge", "rule", "reason"),
		gauge("weir_bridge_quarantined_messages", "Messages set aside, which the upstream could not have.", each(func(b *core.BridgeStatus) float64 { return float64(b.Quarantined) }), "bridge"),
		counter("weir_bridge_published_total", "Messages that the upstream has acknowledged, or that were sent at QoS 0.", each(func(b *core.BridgeStatus) float64 { return float64(b.Published) }), "bridge"),
		counter("weir_bridge_received_total", "Messages from the upstream.", each(func(b *core.BridgeStatus) float64 { return float64(b.Received) }), "bridge"),
		counter("weir_bridge_reconnects_total", "Connections made after the first.", each(func(b *core.BridgeStatus) float64 { return float64(b.Reconnects) }), "bridge"),
		counter("weir_bridge_dropped_total", "Messages for the upstream that were dropped, by reason.", func(st *core.Status, e emit) {
			for _, b := range st.Bridges {
				byReason(e, ruleDrops(b.Rules), b.Name)
			}
		}, "bridge", "reason"),
	}
}

// ruleLabel names a rule. Rules with the same filter share it.
func ruleLabel(r *core.RuleStatus) string { return r.Direction + " " + r.Filter }

func add(a, b float64) float64    { return a + b }
func larger(a, b float64) float64 { return max(a, b) }

// eachRule gives a sample for each out rule, or for those with one label together.
func eachRule(value func(*core.RuleStatus) float64, join func(a, b float64) float64) func(*core.Status, emit) {
	return func(st *core.Status, e emit) {
		for _, b := range st.Bridges {
			values := make(map[string]float64)
			for i := range b.Rules {
				if r := &b.Rules[i]; r.Direction == "out" {
					values[ruleLabel(r)] = join(values[ruleLabel(r)], value(r))
				}
			}
			for _, label := range slices.Sorted(maps.Keys(values)) {
				e(values[label], b.Name, label)
			}
		}
	}
}

func ruleReasons(st *core.Status, e emit) {
	for _, b := range st.Bridges {
		of := make(map[string][]core.RuleStatus)
		for i := range b.Rules {
			label := ruleLabel(&b.Rules[i])
			of[label] = append(of[label], b.Rules[i])
		}
		for _, label := range slices.Sorted(maps.Keys(of)) {
			byReason(e, ruleDrops(of[label]), b.Name, label)
		}
	}
}

// ruleDrops adds up what rules dropped.
func ruleDrops(rules []core.RuleStatus) map[core.Reason]uint64 {
	sum := make(map[core.Reason]uint64)
	for _, r := range rules {
		for reason, n := range maps.All(r.Dropped) {
			sum[reason] += n
		}
	}
	return sum
}

func adapterFamilies() []family {
	return append(deviceFamilies(),
		gauge("weir_adapter_up", "Whether the adapter is running.", adapterValue(func(a *core.AdapterStatus) float64 { return truth(a.State == "running") }), "adapter"),
		counter("weir_adapter_readings_total", "Readings taken.", adapterValue(func(a *core.AdapterStatus) float64 { return float64(a.Readings) }), "adapter"),
		gauge("weir_adapter_bus_load_ratio", "Part of the line's time that is in use.", adapterValue(func(a *core.AdapterStatus) float64 { return a.BusLoad }), "adapter"),
		gauge("weir_adapter_asked_load_ratio", "Part of the line's time that the periods ask for; above 1 they can't be kept.", adapterValue(func(a *core.AdapterStatus) float64 { return a.Asked }), "adapter"),
		gauge("weir_adapter_achievable_period_seconds", "The shortest period that can be kept, while too much is asked for; else 0.", adapterValue(func(a *core.AdapterStatus) float64 { return a.Possible }), "adapter"),
		counter("weir_adapter_errors_total", "Errors by kind.", func(st *core.Status, e emit) {
			for _, a := range st.Adapters {
				byReason(e, a.Errors, a.Name)
			}
		}, "adapter", "kind"),
	)
}

func adapterValue(value func(*core.AdapterStatus) float64) func(*core.Status, emit) {
	return func(st *core.Status, e emit) {
		for i := range st.Adapters {
			e(value(&st.Adapters[i]), st.Adapters[i].Name)
		}
	}
}

func deviceFamilies() []family {
	each := func(value func(*core.DeviceStatus) float64) func(*core.Status, emit) {
		return func(st *core.Status, e emit) {
			for _, a := range st.Adapters {
				for i := range a.Devices {
					e(value(&a.Devices[i]), a.Name, a.Devices[i].Name)
				}
			}
		}
	}
	return []family{
		gauge("weir_device_up", "Whether the device answers.", each(func(d *core.DeviceStatus) float64 { return truth(d.Up) }), "adapter", "device"),
		counter("weir_device_requests_total", "Requests to the device.", each(func(d *core.DeviceStatus) float64 { return float64(d.Requests) }), "adapter", "device"),
		gauge("weir_device_response_p50_seconds", "Median time of an answer.", each(func(d *core.DeviceStatus) float64 { return d.P50 }), "adapter", "device"),
		gauge("weir_device_response_p99_seconds", "99th percentile of the time of an answer.", each(func(d *core.DeviceStatus) float64 { return d.P99 }), "adapter", "device"),
		gauge("weir_device_last_seen_timestamp_seconds", "When the device answered last, as Unix time; 0 for never.", each(func(d *core.DeviceStatus) float64 {
			if d.LastSeen.IsZero() {
				return 0
			}
			return float64(d.LastSeen.UnixMilli()) / 1000
		}), "adapter", "device"),
		counter("weir_device_errors_total", "Errors by kind.", func(st *core.Status, e emit) {
			for _, a := range st.Adapters {
				for _, d := range a.Devices {
					byReason(e, d.Errors, a.Name, d.Name)
				}
			}
		}, "adapter", "device", "kind"),
	}
}
