//! Reconcilers: functions without input that bring what is observed back to what the rows say.

pub(crate) mod instances;
pub(crate) mod renewals;
pub(crate) mod restarts;
pub(crate) mod uses;
pub(crate) mod verifications;
