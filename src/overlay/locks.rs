//! The locks that the overlay's operations meet at: parking_lot's, or, with the feature `shuttle`, those of
//! a scheduler that lets one thread run at a time and chooses which, so that a test sees many orders.
//!
//! What is locked for a moment, and never while another of these is taken, keeps parking_lot's: the
//! scheduler needs to know nothing of it.

#[cfg(not(feature = "shuttle"))]
pub(super) use parking_lot::{Mutex, MutexGuard, RwLock};

#[cfg(feature = "shuttle")]
pub(super) use self::scheduled::{Mutex, MutexGuard, RwLock};

#[cfg(feature = "shuttle")]
mod scheduled {
    use std::mem::ManuallyDrop;
    use std::ops::{Deref, DerefMut};
    use std::sync::PoisonError;

    use shuttle::sync;

    pub(in crate::overlay) struct Mutex<T>(sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(in crate::overlay) fn new(value: T) -> Mutex<T> {
            Mutex(sync::Mutex::new(value))
        }

        pub(in crate::overlay) fn lock(&self) -> MutexGuard<'_, T> {
            let guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            MutexGuard(ManuallyDrop::new(guard))
        }
    }

    /// The scheduler chooses when a lock is wanted, and here also once it is given back: what a thread does
    /// between two locks can then come before or after what others do.
    pub(in crate::overlay) struct MutexGuard<'a, T>(ManuallyDrop<sync::MutexGuard<'a, T>>);

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            &self.0
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            &mut self.0
        }
    }

    impl<T> Drop for MutexGuard<'_, T> {
        fn drop(&mut self) {
            // SAFETY: it is dropped here and nowhere else, and not used afterwards.
            unsafe { ManuallyDrop::drop(&mut self.0) };
            if !std::thread::panicking() {
                shuttle::thread::yield_now();
            }
        }
    }

    pub(in crate::overlay) struct RwLock<T>(sync::RwLock<T>);

    impl<T> RwLock<T> {
        pub(in crate::overlay) fn new(value: T) -> RwLock<T> {
            RwLock(sync::RwLock::new(value))
        }

        pub(in crate::overlay) fn read(&self) -> sync::RwLockReadGuard<'_, T> {
            self.0.read().unwrap_or_else(PoisonError::into_inner)
        }

        pub(in crate::overlay) fn write(&self) -> sync::RwLockWriteGuard<'_, T> {
            self.0.write().unwrap_or_else(PoisonError::into_inner)
        }
    }
}
