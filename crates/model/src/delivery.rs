//! Deliveries: "Instance I holds version N of Connection C".

use crate::{ConnectionId, DeliveryId, InstanceId, Ms, text_enum::text_enum};

text_enum! {
    /// What the Agent holds.
    DeliveryMode {
        /// The real credential, in the Agent's own `auth.json`: the Agent can read it.
        Direct = "direct",
    }
}

text_enum! {
    /// How far a Delivery is.
    DeliveryStatus {
        /// Wanted, not yet handed over.
        Pending = "pending",
        /// Handed over and read back.
        Delivered = "delivered",
        /// The Instance holds an older version.
        Stale = "stale",
        /// Taken back.
        Revoked = "revoked",
        /// Could not be handed over; the reason stands beside.
        Failed = "failed",
    }
}

/// The handing over of one Connection to one Instance. It dies with the Instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Which.
    pub id: DeliveryId,
    /// To whom.
    pub instance_id: InstanceId,
    /// What.
    pub connection_id: ConnectionId,
    /// The Provider slot it fills.
    pub provider_id: String,
    /// Which version of the Credential.
    pub version: i64,
    /// Real or not.
    pub mode: DeliveryMode,
    /// How far.
    pub status: DeliveryStatus,
    /// Why, where that needs saying.
    pub reason: Option<String>,
    /// When the status last changed.
    pub updated_at: Ms,
}
