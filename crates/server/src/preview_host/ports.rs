//! Previews with a port of their own, for browsers that reach doce by an address: no host name under it exists.
//!
//! A port is opened when its first ticket is asked for and closed with the Project or the server; when there are too
//! many, the oldest gives way. Everybody in the network can reach it, and sees nothing without a pass.

use std::{
    io,
    sync::{Mutex, MutexGuard, PoisonError},
};

use axum::{
    Router,
    extract::{Request, State as Extract},
    response::{IntoResponse as _, Response},
};
use doce_model::ProjectId;
use http::StatusCode;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{address::Peer, guard::front::draw_id, listen, state::State};

/// The ports that are open.
#[derive(Debug)]
pub(crate) struct Ports {
    most: usize,
    open: Mutex<Vec<Door>>,
}

#[derive(Debug)]
struct Door {
    project: ProjectId,
    port: u16,
    close: CancellationToken,
}

impl Ports {
    /// Has none open, and opens at most this many.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, open: Mutex::default() }
    }

    /// Closes a Project's port, if it has one.
    pub(crate) fn close(&self, project: ProjectId) {
        self.doors().retain(|door| {
            let stays = door.project != project;
            if !stays {
                door.close.cancel();
            }
            stays
        });
    }

    fn doors(&self) -> MutexGuard<'_, Vec<Door>> {
        // A panic while it was held can't leave it half changed: each change is one call.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the port of a Project's preview, opening it if need be.
pub(crate) fn open(state: &State, project: ProjectId, slug: &str) -> io::Result<u16> {
    let ports = &state.ports;
    let mut doors = ports.doors();
    if let Some(door) = doors.iter().find(|door| door.project == project) {
        return Ok(door.port);
    }
    let listener = std::net::TcpListener::bind((state.listen.ip(), 0))?;
    listener.set_nonblocking(true)?;
    let port = listener.local_addr()?.port();
    let listener = TcpListener::from_std(listener)?;
    if doors.len() >= ports.most {
        doors.remove(0).close.cancel();
    }
    let close = state.shutdown.child_token();
    let router = Router::new().fallback(answer).with_state((state.clone(), slug.to_owned()));
    state.tasks.spawn(listen::serve(listener, router, state.limits.listen, close.clone()));
    doors.push(Door { project, port, close });
    Ok(port)
}

async fn answer(Extract((state, slug)): Extract<(State, String)>, request: Request) -> Response {
    let peer = request.extensions().get::<Peer>().copied();
    let place = peer.and_then(|peer| state.names.read_at_port(&request, peer.local));
    let Some((origin, host)) = place else {
        return StatusCode::MISDIRECTED_REQUEST.into_response();
    };
    let home = format!("http://{host}:{}", state.listen.port());
    super::answer(&state, request, &slug, &origin, &home, &draw_id()).await
}
