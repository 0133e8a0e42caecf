package core

import "time"

// HistoryPriority is that of a rule's history: it gives way before everything
// that is owed, and nothing is refused for its sake.
const HistoryPriority = -1

// Replay asks a bridge to send again what its rules have delivered.
type Replay struct {
	Bridge   string    `json:"bridge"`
	From, To time.Time // of reception
	Filter   string    `json:"filter"` // of local topics
	Rate     float64   `json:"rate"`   // messages a second
}

// ReplayProgress is how far it is.
type ReplayProgress struct {
	Total uint64 `json:"total"` // messages kept
	Seen  uint64 `json:"seen"`  // of them, looked at
	Sent  uint64 `json:"sent"`  // of them, handed to the bridge
	Done  bool   `json:"done"`
	Error string `json:"error,omitempty"`
}
