// Package node is the counterpart of node.h: the nodes of 64 bytes that the latency workloads are made of, and garbage
// of them.
package node

import "tricolorbench/report"

const (
	Edges = 4
	ring  = 1024
)

// Node has four edges, and words that are its number, the number's complement, twice it, and 1 once walked.
type Node struct {
	Edge [Edges]*Node
	Word [4]uint64
}

// Make makes a node.
func Make(number uint64) *Node {
	return &Node{Word: [4]uint64{number, ^number, 2 * number, 0}}
}

// Intact says whether a node holds what was written into it.
func (n *Node) Intact() bool {
	return n.Word[1] == ^n.Word[0] && n.Word[2] == 2*n.Word[0]
}

// Lost ends the program, which found nodes that are not as it wrote them.
func Lost(workload string, count uint64) {
	report.Die("%s: %d nodes are lost or overwritten", workload, count)
}

// Garbage keeps the newest 1,024 nodes alive; each new one takes the place of the oldest.
type Garbage struct {
	ring []*Node
	made uint64
}

// NewGarbage begins with none.
func NewGarbage() Garbage {
	return Garbage{ring: make([]*Node, ring)}
}

// Make makes one more.
func (g *Garbage) Make() {
	g.ring[g.made%ring] = Make(g.made)
	g.made++
}

// End counts the nodes of the ring that are intact.
func (g *Garbage) End() uint64 {
	var intact uint64
	for _, n := range g.ring {
		if n != nil && n.Intact() {
			intact++
		}
	}
	return intact
}
