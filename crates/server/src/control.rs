//! The control socket: how the `doce` command reaches the server of its own machine without a password.
//!
//! It lies in the data directory, can be opened by its owner only, and answers nobody but the user that the server runs
//! as, and root. A request that comes in here acts as the account that it names, or as the only admin; everything else
//! about it is as over the network: the same routes, the same rules, the same audit log.

use std::{
    fs::{self, File, Permissions},
    io,
    net::{Ipv4Addr, SocketAddr},
    os::{
        fd::AsRawFd as _,
        unix::{
            fs::{FileTypeExt as _, PermissionsExt as _},
            net::{UnixListener as StdUnixListener, UnixStream as UnixSocket},
        },
    },
};

use camino::{Utf8Path, Utf8PathBuf};
use http::{HeaderMap, HeaderName};
use tokio::net::{UnixListener, UnixStream};

use crate::{address::Peer, listen::Door};

/// The socket's name in the data directory.
const NAME: &str = "control.sock";
/// Most bytes of a socket's path *(Linux, `sun_path` with its final zero)*.
const PATH_MAX: usize = 107;
/// The header that names the account to act as. It counts on the control socket only.
pub(crate) const USER: HeaderName = HeaderName::from_static("doce-user");

/// Marks the requests of the control socket.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Control;

/// Returns where the socket of a data directory is.
pub(crate) fn path(data_dir: &Utf8Path) -> Utf8PathBuf {
    data_dir.join(NAME)
}

/// Says whether a server of a data directory answers.
pub(crate) fn is_answered(data_dir: &Utf8Path) -> bool {
    Way::to(&path(data_dir)).is_ok_and(|way| UnixSocket::connect(&way.path).is_ok())
}

/// Returns the account that a request names.
pub(crate) fn named(headers: &HeaderMap) -> Option<&str> {
    headers.get(USER)?.to_str().ok().map(str::trim).filter(|name| !name.is_empty())
}

/// A way to a socket that is short enough for the kernel, and what keeps it open.
pub(crate) struct Way {
    /// The path to give the kernel.
    pub(crate) path: Utf8PathBuf,
    #[expect(dead_code, reason = "it keeps the path valid")]
    directory: Option<File>,
}

impl Way {
    /// Finds one: through the open directory where the path itself is too long.
    pub(crate) fn to(socket: &Utf8Path) -> io::Result<Self> {
        if socket.as_str().len() <= PATH_MAX {
            return Ok(Self { path: socket.to_owned(), directory: None });
        }
        let directory = File::open(socket.parent().unwrap_or(Utf8Path::new(".")))?;
        let path = Utf8PathBuf::from(format!("/proc/self/fd/{}/{NAME}", directory.as_raw_fd()));
        Ok(Self { path, directory: Some(directory) })
    }
}

/// The server's end of the socket. It is removed with this value.
#[derive(Debug)]
pub(crate) struct ControlListener {
    listener: UnixListener,
    path: Utf8PathBuf,
}

impl ControlListener {
    /// Makes the socket. One that an earlier server left is replaced: the caller holds the data directory's lock.
    pub(crate) fn bind(path: &Utf8Path) -> io::Result<Self> {
        if fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
            fs::remove_file(path)?;
        }
        // The data directory is its owner's alone, so nobody else gets in before the mode is set.
        let listener = StdUnixListener::bind(Way::to(path)?.path)?;
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener: UnixListener::from_std(listener)?, path: path.to_owned() })
    }
}

impl Drop for ControlListener {
    fn drop(&mut self) {
        // What is gone already is as good.
        drop(fs::remove_file(&self.path));
    }
}

impl Door for ControlListener {
    type Stream = UnixStream;
    type Mark = Control;

    async fn accept(&self) -> io::Result<(UnixStream, Peer, Control)> {
        let (stream, _) = self.listener.accept().await?;
        let uid = stream.peer_cred()?.uid();
        if !may_enter(uid, rustix::process::geteuid().as_raw()) {
            let text = format!("the user {uid} may not use the control socket");
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
        let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Ok((stream, Peer { remote: here, local: here }, Control))
    }
}

/// Says whether a user may use the socket of a server that runs as `own`.
fn may_enter(uid: u32, own: u32) -> bool {
    uid == own || uid == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_servers_own_user_and_root_get_in() {
        for (uid, own, expected) in [(1000, 1000, true), (0, 1000, true), (1001, 1000, false), (1000, 0, false)] {
            assert_eq!(may_enter(uid, own), expected, "{uid} at {own}");
        }
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_another_file_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(directory.path()).unwrap();
        let socket = path(root);
        drop(StdUnixListener::bind(&socket).unwrap());
        let listener = ControlListener::bind(&socket).unwrap();
        assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
        drop(listener);
        assert!(!socket.exists());
        fs::write(&socket, "something else").unwrap();
        assert!(ControlListener::bind(&socket).is_err());
        assert_eq!(fs::read_to_string(&socket).unwrap(), "something else");
    }

    #[tokio::test]
    async fn a_data_directory_may_be_deeper_than_a_sockets_path_is_long() {
        let directory = tempfile::tempdir().unwrap();
        let deep = Utf8Path::from_path(directory.path()).unwrap().join("a".repeat(120));
        fs::create_dir(&deep).unwrap();
        let socket = path(&deep);
        let listener = ControlListener::bind(&socket).unwrap();
        let way = Way::to(&socket).unwrap();
        let (_stream, accepted) = tokio::join!(UnixStream::connect(way.path.as_std_path()), Door::accept(&listener));
        accepted.unwrap();
    }
}
