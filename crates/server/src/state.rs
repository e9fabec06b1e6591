//! What every handler is given.

use std::{net::SocketAddr, sync::Arc};

use camino::Utf8PathBuf;
use doce_app::App;
use doce_model::{Clock, Ctx, Role};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    address::Names, api::stream::Streams, guard::proof::Holder, metrics::Metrics, preview::Preview,
    preview_host::ports::Ports, server::Limits, setup_code::SetupCode,
};

/// The server's parts, shared by all requests.
#[derive(Debug, Clone)]
pub(crate) struct State(Arc<Parts>);

/// See [`State`].
pub(crate) struct Parts {
    pub(crate) app: App,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) names: Names,
    /// Where the user that it runs as keeps the keys of an OpenCode.
    pub(crate) opencode_auth_file: Option<Utf8PathBuf>,
    pub(crate) limits: Limits,
    /// Where the server listens.
    pub(crate) listen: SocketAddr,
    pub(crate) setup_code: SetupCode,
    pub(crate) streams: Streams,
    pub(crate) metrics: Metrics,
    pub(crate) preview: Preview,
    pub(crate) ports: Ports,
    /// What runs beside requests; shutting down waits for it.
    pub(crate) tasks: TaskTracker,
    /// Ends what would not end by itself.
    pub(crate) shutdown: CancellationToken,
}

impl State {
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

impl std::ops::Deref for State {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").field("listen", &self.listen).finish_non_exhaustive()
    }
}

/// Who is signed in, in this request.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) user: doce_model::User,
    pub(crate) sign_in: doce_model::SignIn,
    pub(crate) ctx: Ctx,
}

impl Caller {
    pub(crate) fn new(holder: Holder, ctx: &Ctx) -> Self {
        let ctx = ctx.acting_as(holder.actor());
        Self { user: holder.user, sign_in: holder.sign_in, ctx }
    }

    pub(crate) fn is_admin(&self) -> bool {
        match self.user.role {
            Role::Admin => true,
            Role::Member => false,
        }
    }
}
