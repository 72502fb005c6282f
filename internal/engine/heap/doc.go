// Package heap is a binary heap with items that know their own place in it, so that one
// in the middle can be moved or removed.
package heap
