//! The pause of the queue: while it lasts no Job begins, and those that have begun go on to their end.
//!
//! It is a row, so it holds over a restart.

use doce_model::Ms;

use crate::{Read, StoreError, Tx, setting};

/// The setting that says since when.
const NAME: &str = "queue_paused_at";

/// What lets a queued Job `j` be claimed, as far as the pause goes.
pub(super) const LETS_BEGIN: &str =
    "(j.started_at IS NOT NULL OR NOT EXISTS (SELECT 1 FROM setting WHERE name = 'queue_paused_at'))";

/// Finds since when the queue is paused.
pub async fn find(read: &mut impl Read) -> Result<Option<Ms>, StoreError> {
    let Some(value) = setting::find(read, NAME).await? else {
        return Ok(None);
    };
    let at = value.parse().map_err(|_| StoreError::Inconsistent { table: "setting", column: "value", value })?;
    Ok(Some(Ms(at)))
}

/// Pauses the queue. Returns whether it wasn't.
pub async fn begin(tx: &mut Tx) -> Result<bool, StoreError> {
    if find(tx).await?.is_some() {
        return Ok(false);
    }
    let now = tx.now();
    setting::set(tx, NAME, &now.0.to_string()).await?;
    Ok(true)
}

/// Lets Jobs begin again. Returns whether the queue was paused.
pub async fn end(tx: &mut Tx) -> Result<bool, StoreError> {
    let was = find(tx).await?.is_some();
    setting::remove(tx, NAME).await?;
    Ok(was)
}
