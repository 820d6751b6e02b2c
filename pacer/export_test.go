package pacer

// ScheduleSize returns the length as bytes that a Schedule with so many limits has at the most.
func ScheduleSize(limits int) int { return scheduleHead + saidSize + limits*meterMost }
