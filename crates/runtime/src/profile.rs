//! What a program in the sandbox sees of the host: an allow-list, and the only place that has it.
//!
//! It sees the system's programs and libraries, the public part of its configuration, its own processes, its own `/tmp`,
//! and the binds of its [`Spec`]. It has a uid of its own, no capability and no way to a new user namespace.
//!
//! Found by doing (bubblewrap 0.8.0, Linux 6.18, observed):
//! - Seen from the host, the program has *our* uid. If that is root, its files are the program's to read, so
//!   `/etc/ssl/private` must stay out: only the public half of `/etc/ssl` is bound.
//! - For the same reason `/proc` is remounted read-only: bubblewrap covers `/proc/sys` only where it finds it writable
//!   *as a directory*, which it never is, and a root's program could set `kernel.core_pattern`, which is the host.
//! - No `--die-with-parent`: it follows the thread that started it, and would end what is meant to survive us.
//! - No `--setenv`: anyone can read a command line.

use std::{fs, path::Path};

use camino::Utf8PathBuf;

use crate::{Mode, Spec};

/// The user a program in the sandbox believes to be.
pub const SANDBOX_UID: u32 = 10_001;
/// Its group.
pub const SANDBOX_GID: u32 = 10_001;
/// The home directory it has in the user database. A [`Spec`] binds something there, or it isn't there.
pub const SANDBOX_HOME: &str = "/home/app";
/// The most that fits into each directory that is held in memory.
pub const TMPFS_MAX_BYTES: u64 = 1 << 30;

/// Descriptors that bubblewrap gets. Each is closed before the program starts.
pub(crate) const INFO_FD: i32 = 3;
pub(crate) const STATUS_FD: i32 = 4;
pub(crate) const BLOCK_FD: i32 = 5;
pub(crate) const PASSWD_FD: i32 = 6;
pub(crate) const GROUP_FD: i32 = 7;

/// Directories that hold programs and libraries; where they are links into `/usr`, the link is made.
const ROOTS: [&str; 6] = ["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];

/// Everything else that is shown. Nothing here may hold a secret, not even one that only root can read.
const SYSTEM: [&str; 27] = [
    "/usr",
    "/nix/store",
    "/etc/alternatives",
    "/etc/ca-certificates/extracted",
    "/etc/crypto-policies",
    "/etc/gai.conf",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/nsswitch.conf",
    "/etc/os-release",
    "/etc/pki/ca-trust/extracted",
    "/etc/pki/tls/cert.pem",
    "/etc/pki/tls/certs",
    "/etc/pki/tls/openssl.cnf",
    "/etc/protocols",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/shells",
    "/etc/ssl/cert.pem",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/timezone",
];

/// The user database inside: the host's would tell who has an account here.
pub(crate) fn passwd() -> String {
    format!(
        "root:x:0:0:root:/:/bin/sh\napp:x:{SANDBOX_UID}:{SANDBOX_GID}:app:{SANDBOX_HOME}:/bin/sh\n\
         nobody:x:65534:65534:nobody:/:/bin/false\n"
    )
}

/// The group database inside.
pub(crate) fn group() -> String {
    format!("root:x:0:\napp:x:{SANDBOX_GID}:\nnogroup:x:65534:\n")
}

/// Whether the profile shows this path of the host by itself, without a bind.
pub fn is_shown(path: &camino::Utf8Path) -> bool {
    ROOTS.iter().chain(&SYSTEM).any(|shown| path.starts_with(shown))
}

/// The arguments of bubblewrap for `spec`, up to and with the program's own.
pub(crate) fn arguments(spec: &Spec) -> Vec<String> {
    let mut arguments = Arguments::default();
    for root in ROOTS {
        match fs::read_link(root) {
            Ok(target) => arguments.push(&["--symlink", &target.to_string_lossy(), root]),
            Err(_) if Path::new(root).is_dir() => arguments.push(&["--ro-bind", root, root]),
            Err(_) => {}
        }
    }
    for path in SYSTEM.into_iter().filter(|path| Path::new(path).exists()) {
        arguments.push(&["--ro-bind", path, path]);
    }
    for (descriptor, path) in [(PASSWD_FD, "/etc/passwd"), (GROUP_FD, "/etc/group")] {
        arguments.push(&["--perms", "0444", "--ro-bind-data", &descriptor.to_string(), path]);
    }
    arguments.push(&["--dev", "/dev"]);
    arguments.tmpfs("/dev/shm");
    arguments.push(&["--remount-ro", "/dev", "--proc", "/proc", "--remount-ro", "/proc"]);
    arguments.tmpfs("/tmp");
    arguments.own_mounts(spec);
    // Last: until here, mount points were made in it.
    arguments.push(&["--remount-ro", "/"]);

    arguments.push(&["--unshare-user", "--uid", &SANDBOX_UID.to_string(), "--gid", &SANDBOX_GID.to_string()]);
    arguments.push(&["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup"]);
    if !spec.network {
        arguments.push(&["--unshare-net"]);
    }
    arguments.push(&["--disable-userns", "--assert-userns-disabled", "--cap-drop", "ALL", "--new-session"]);
    arguments.push(&["--hostname", "sandbox", "--chdir", spec.cwd.as_str()]);
    arguments.push(&["--info-fd", &INFO_FD.to_string(), "--json-status-fd", &STATUS_FD.to_string()]);
    arguments.push(&["--block-fd", &BLOCK_FD.to_string()]);
    arguments.push(&["--", spec.program.as_str()]);
    arguments.0.extend(spec.args.iter().cloned());
    arguments.0
}

#[derive(Default)]
struct Arguments(Vec<String>);

impl Arguments {
    fn push(&mut self, arguments: &[&str]) {
        self.0.extend(arguments.iter().map(|&argument| argument.to_owned()));
    }

    fn tmpfs(&mut self, path: &str) {
        self.push(&["--size", &TMPFS_MAX_BYTES.to_string(), "--tmpfs", path]);
    }

    /// The binds and empty directories of a spec, the outer ones first, or they would hide the inner ones.
    fn own_mounts(&mut self, spec: &Spec) {
        let binds = spec.binds.iter().map(|bind| (&bind.inside, Some(bind)));
        let mut mounts: Vec<(&Utf8PathBuf, _)> = binds.chain(spec.tmpfs.iter().map(|path| (path, None))).collect();
        mounts.sort_by_key(|(inside, _)| inside.components().count());
        for (inside, bind) in mounts {
            match bind {
                Some(bind) => {
                    let how = match bind.mode {
                        Mode::ReadOnly => "--ro-bind",
                        Mode::ReadWrite => "--bind",
                    };
                    self.push(&[how, bind.host.as_str(), inside.as_str()]);
                }
                None => self.tmpfs(inside.as_str()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Bind;

    #[test]
    fn an_outer_mount_comes_before_an_inner_one() {
        let mut spec = Spec::new("a test", "test", "/usr/bin/true");
        spec.binds = vec![Bind::read_only("/data/c", "/home/app/.config/c"), Bind::read_write("/data/h", "/home/app")];
        spec.tmpfs = vec!["/home/app/.config".into()];
        let arguments = arguments(&spec);
        let at = |path: &str| arguments.iter().position(|argument| argument == path).expect("it is mounted");
        assert!(at("/home/app") < at("/home/app/.config"));
        assert!(at("/home/app/.config") < at("/home/app/.config/c"));
    }

    #[test]
    fn nothing_that_could_hold_a_key_is_shown() {
        for path in ["/etc/ssl/private/x.key", "/etc/pki/tls/private/x.key", "/etc/shadow", "/etc/gitconfig", "/root"] {
            assert!(!is_shown(path.into()), "{path} is shown");
        }
        assert!(is_shown("/usr/bin/git".into()));
    }
}
