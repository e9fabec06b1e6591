//! Any path, against a real directory with everything in it that an Agent can make. `cargo xtask fuzz paths` tries for
//! longer; what it finds becomes a test of its own below.

use std::{
    fs,
    os::unix::{fs::symlink, net::UnixListener},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use camino::Utf8PathBuf;
use proptest::{collection::vec, prelude::*};
use tempfile::TempDir;

use super::*;

const OUTSIDE: &[u8] = b"what lies outside";

/// A workspace, and what lies beside it.
struct Place {
    directory: TempDir,
    workspace: Utf8PathBuf,
}

impl Place {
    fn make() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let root = directory.path().canonicalize().expect("it exists");
        let root = Utf8PathBuf::from_path_buf(root).expect("its path is text");
        let (workspace, outside) = (root.join("workspace"), root.join("outside"));
        for made in [&workspace.join("src/deep"), &outside.join("src"), &workspace.join("%2e%2e")] {
            fs::create_dir_all(made).expect("a directory can be made");
        }
        for file in ["secret", "src/a", "a"] {
            fs::write(outside.join(file), OUTSIDE).expect("a file can be written");
        }
        for file in ["a", "src/a", "src/deep/ü", "src/..a", "%2e%2e/a"] {
            fs::write(workspace.join(file), file).expect("a file can be written");
        }
        let links = [
            ("file", "../outside/secret"),
            ("dir", "../outside"),
            ("up", ".."),
            ("in", "src"),
            ("loop", "loop"),
            ("nowhere", "../outside/made"),
            ("proc", "/proc/self/root"),
            ("src/up", "../../outside/a"),
        ];
        for (link, to) in links {
            symlink(to, workspace.join(link)).expect("a link can be made");
        }
        symlink(&outside, workspace.join("whole")).expect("a link can be made");
        rustix::fs::mknodat(rustix::fs::CWD, workspace.join("pipe").as_std_path(), FileType::Fifo, 0o600.into(), 0)
            .expect("a pipe can be made");
        drop(UnixListener::bind(workspace.join("socket")).expect("a socket can be made"));
        Self { directory, workspace }
    }

    /// Everything outside of the workspace is as it was made.
    fn outside_is_whole(&self) -> bool {
        let outside = self.directory.path().join("outside");
        let names = |of: &Path| fs::read_dir(of).expect("it is there").count();
        ["secret", "src/a", "a"].iter().all(|file| fs::read(outside.join(file)).is_ok_and(|bytes| bytes == OUTSIDE))
            && (names(&outside), names(&outside.join("src")), names(self.directory.path())) == (3, 1, 2)
    }

    /// Where a path leads, if it leads through no link to something inside.
    fn inside(&self, path: &str) -> Option<Utf8PathBuf> {
        let path = relative(path).ok()?;
        let whole = if path == "." { self.workspace.clone() } else { self.workspace.join(path) };
        (whole.canonicalize_utf8().ok()? == whole).then_some(whole)
    }
}

/// Paths of what is there, of what is outside, and of what looks like either.
fn paths() -> impl Strategy<Value = String> {
    let there = prop::sample::select(vec![
        "a",
        "src",
        "deep",
        "ü",
        "..a",
        "%2e%2e",
        "file",
        "dir",
        "up",
        "in",
        "loop",
        "nowhere",
        "proc",
        "whole",
        "pipe",
        "socket",
        "secret",
        "outside",
        "workspace",
    ]);
    let odd = prop::sample::select(vec![
        "..",
        "..",
        ".",
        "",
        "...",
        "..\\",
        "\\..",
        "%2f",
        "..%2f",
        "%00",
        "\0",
        "a\0",
        "\u{2025}",
        "．．",
        "\u{2024}\u{2024}",
        "..\u{200b}",
        "／",
        "u\u{308}",
        "\u{202e}a",
        "~",
        "C:",
        "file:",
        "*",
        "\n",
    ]);
    let part = prop_oneof![
        6 => there.prop_map(str::to_owned),
        3 => odd.prop_map(str::to_owned),
        1 => "\\PC{0,8}",
        1 => (1..400_usize).prop_map(|length| "n".repeat(length)),
    ];
    let beginning = prop::sample::select(vec!["", "", "", "/", "//", "./", "/proc/self/root/", "/etc/", "\\"]);
    let times = prop_oneof![9 => Just(1), 1 => 2..2000_usize];
    (beginning, vec(part, 0..7), times, any::<bool>()).prop_map(|(beginning, parts, times, slash)| {
        let path = vec![parts.join("/"); times].join("/");
        format!("{beginning}{path}{}", if slash { "/" } else { "" })
    })
}

/// As many cases as `PROPTEST_CASES` says, from the seed `PROPTEST_RNG_SEED`. A failure is printed.
fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_path_reads_or_lists_what_lies_outside(paths in vec(paths(), 1..30)) {
        let place = Place::make();
        for path in paths {
            let inside = place.inside(&path);
            match read(&place.workspace, &path, 1 << 20) {
                Ok(bytes) => prop_assert_eq!(Some(bytes), inside.as_ref().and_then(|path| fs::read(path).ok())),
                Err(BeneathError::Io(error)) => prop_assert!(false, "{path:?}: {error}"),
                Err(_) => prop_assert!(!inside.as_ref().is_some_and(|path| path.is_file()), "{path:?}"),
            }
            match list(&place.workspace, &path, 100) {
                Ok(entries) => {
                    let there = fs::read_dir(inside.clone().expect("only what is inside is listed"))?.count();
                    prop_assert_eq!(entries.len(), there);
                }
                Err(BeneathError::Io(error)) => prop_assert!(false, "{path:?}: {error}"),
                Err(_) => prop_assert!(!inside.as_ref().is_some_and(|path| path.is_dir()), "{path:?}"),
            }
            prop_assert_eq!(is_file(&place.workspace, &path), inside.is_some_and(|path| path.is_file()), "{:?}", path);
        }
    }

    #[test]
    fn no_path_removes_what_lies_outside(
        paths in vec(paths(), 1..30),
        name in prop::sample::select(vec!["a", "secret", "file", "dir", "src", "up"]),
    ) {
        let place = Place::make();
        for path in paths {
            if let Err(BeneathError::Io(error)) = remove(&place.workspace, &path, name) {
                prop_assert!(false, "{path:?}: {error}");
            }
        }
        remove_link(&place.workspace, name).expect("what stands there is ours");
        prop_assert!(place.outside_is_whole());
    }
}

#[test]
fn a_directory_that_becomes_a_link_while_it_is_read_leads_nowhere() {
    let place = Place::make();
    let swap = || {
        let at = |name| place.workspace.join(name).into_std_path_buf();
        rustix::fs::renameat_with(
            rustix::fs::CWD,
            at("src"),
            rustix::fs::CWD,
            at("whole"),
            rustix::fs::RenameFlags::EXCHANGE,
        )
        .expect("two names can be exchanged");
    };
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                swap();
            }
        });
        let mut seen = (0, 0);
        let mut wrong = None;
        // Until both were met, and often.
        while wrong.is_none() && (seen.0 < 500 || seen.1 < 500) {
            match read(&place.workspace, "src/a", 1 << 10) {
                Ok(bytes) if bytes == b"src/a" => seen.0 += 1,
                Err(BeneathError::Refused) => seen.1 += 1,
                other => wrong = Some(other),
            }
        }
        done.store(true, Ordering::Relaxed);
        assert!(wrong.is_none(), "{wrong:?}");
    });
    assert!(place.outside_is_whole());
}

#[test]
fn a_path_that_is_too_long_leads_nowhere() {
    let place = Place::make();
    for path in ["n".repeat(256), "a/".repeat(4000)] {
        assert!(matches!(read(&place.workspace, &path, 1), Err(BeneathError::Absent)));
        assert!(matches!(list(&place.workspace, &path, 1), Err(BeneathError::Absent)));
    }
}

#[test]
fn a_socket_is_not_read() {
    let place = Place::make();
    let found = read(&place.workspace, "socket", 1);
    assert!(matches!(found, Err(BeneathError::OtherKind { what: "a socket" })), "{found:?}");
}
