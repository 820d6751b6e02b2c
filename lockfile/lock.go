package lockfile

import "context"

// lock takes mu and the lock of the file, unless ctx ends first.
func (f *File) lock(ctx context.Context) error {
	select {
	case f.mu <- struct{}{}:
	default: // a select with one way costs a fifth of one with two
		select {
		case f.mu <- struct{}{}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	err := error(nil)
	switch {
	case f.closed:
		err = ErrClosed
	case f.h == noHandle:
		err = f.open()
	}
	if err != nil {
		<-f.mu
		return err
	}
	return f.lockFile(ctx)
}

func (f *File) unlock() (err error) {
	if f.h != noHandle {
		err = f.h.unlock()
	}
	<-f.mu
	return err
}

// lockFile takes the lock of the file, or gives mu back. A holder that was stopped may keep it for long.
func (f *File) lockFile(ctx context.Context) error {
	ok, err := f.h.tryLock()
	switch {
	case err != nil:
		<-f.mu
		return err
	case ok:
		return nil
	case ctx.Done() == nil:
		if err = f.h.lock(); err != nil {
			<-f.mu
		}
		return err
	}
	locked := make(chan error, 1)
	go func() { locked <- f.h.lock() }()
	select {
	case err := <-locked:
		if err != nil {
			<-f.mu
		}
		return err
	case <-ctx.Done():
	}
	go func() { // the call can't be ended: mu is given back when it is over
		if <-locked == nil {
			_ = f.h.unlock()
		}
		<-f.mu
	}()
	return context.Cause(ctx)
}
