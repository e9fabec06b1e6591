//! The leases of this process: their workers live, whatever the clock says.
//!
//! A machine that slept finds every lease run out when it wakes, with all its workers in the middle of their steps.
//! Taken for dead, each of their Jobs would be done twice at once.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use doce_store::job::Lease;

/// The leases that workers of this process hold.
#[derive(Debug, Clone, Default)]
pub(crate) struct Held(Arc<Mutex<HashSet<Lease>>>);

/// A lease in the hands of a worker. When the worker goes, however it goes, nobody has it.
#[derive(Debug)]
pub(crate) struct Hold {
    pub(crate) lease: Lease,
    held: Held,
}

impl Held {
    pub(crate) fn hold(&self, lease: Lease) -> Hold {
        self.lock().insert(lease);
        Hold { lease, held: self.clone() }
    }

    pub(crate) fn all(&self) -> Vec<Lease> {
        self.lock().iter().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<Lease>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.held.lock().remove(&self.lease);
    }
}
