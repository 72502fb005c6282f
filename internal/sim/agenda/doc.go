// Package agenda holds what a simulated world plans: steps in the order of their times.
package agenda
