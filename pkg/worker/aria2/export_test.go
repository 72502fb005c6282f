package aria2

// PID returns the process id of the aria2c that is there now, 0 if there is none.
func (e *Engine) PID() int {
	s := e.current()
	if s.process == nil {
		return 0
	}
	return s.process.cmd.Process.Pid
}
