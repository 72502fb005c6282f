package app

// HasStandby reports whether the leader has seen a standby in this term.
func (d *Daemon) HasStandby() bool {
	service := d.service.Load()
	return service != nil && service.HasStandby()
}
