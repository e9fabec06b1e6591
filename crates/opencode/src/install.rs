//! Which OpenCode this client speaks to, and how to get it: one archive from an npm registry, its hash in this source.
//!
//! No package manager is involved and no install script runs. The archive is hashed while it streams, and only the one
//! binary is taken out of it. Running `opencode --version` to check a binary that a person brought is the caller's;
//! [`check_version`] reads what it printed.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use sha2::{Digest, Sha256, Sha512};
use tempfile::NamedTempFile;
use url::Url;

/// The only version of OpenCode that this client speaks to.
pub const VERSION: &str = "1.18.33";

/// Archives longer than this are refused; the real ones have 60 MB.
pub const ARCHIVE_LIMIT: u64 = 256 * 1024 * 1024;

/// Binaries longer than this are refused; the real ones have 185 MB.
pub const BINARY_LIMIT: u64 = 1024 * 1024 * 1024;

/// The one member of the archive that is wanted.
const MEMBER: &str = "package/bin/opencode";
const CONNECT_LIMIT: Duration = Duration::from_secs(15);
const SILENCE_LIMIT: Duration = Duration::from_secs(30);

/// OpenCode for one kind of machine.
#[derive(Debug, PartialEq, Eq)]
pub struct Artifact {
    /// The npm package.
    pub package: &'static str,
    /// The hash of its archive.
    pub pin: Pin,
}

/// The hash that an archive must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pin {
    /// SHA-512 in base64, as npm's `dist.integrity` gives it.
    Sha512(&'static str),
    /// SHA-256 in hex.
    Sha256(&'static str),
}

/// What there is for x86-64 with AVX2 and glibc.
pub const LINUX_X64: Artifact = Artifact {
    package: "opencode-linux-x64",
    pin: Pin::Sha512("q/t/3p2CTxOT9y2kvjesb/LZab2+1eqlhhWA02Be6mjTtmYtNBcBsrI5yDo4Fw7ZSPBW2oyMIGMNRqiKQjiAWw=="),
};

/// What there is for x86-64 without AVX2, with glibc.
pub const LINUX_X64_BASELINE: Artifact = Artifact {
    package: "opencode-linux-x64-baseline",
    pin: Pin::Sha512("1KQGBiiDDeL/VHHbHkOvvFo8Jr97WT5+C1tear+p7IcDTnXgVHXqIjU4O4jM4mHQzykTP2i884FCnW5LDa+zCA=="),
};

/// What there is for arm64 with glibc.
///
/// Its hash was published by a third party that pins the same release, and not measured on the archive itself; the
/// same list's hash for [`LINUX_X64`] is the one that was measured.
pub const LINUX_ARM64: Artifact = Artifact {
    package: "opencode-linux-arm64",
    pin: Pin::Sha256("196d0caf1c0553fcd12ef15ff14439ea7e6bc7a4e87ea5238bcb57bbe6e54b93"),
};

/// Why OpenCode couldn't be installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// There is no pinned binary for this machine.
    #[error("find an OpenCode {VERSION} for {os} on {arch}{}", if *libc { "" } else { " without glibc" })]
    UnsupportedPlatform {
        /// The operating system.
        os: &'static str,
        /// The processor.
        arch: &'static str,
        /// Whether it has the C library that the binary needs.
        libc: bool,
    },
    /// The registry's address can't be one.
    #[error("make an address of the registry `{registry}`")]
    Registry {
        /// The registry.
        registry: String,
    },
    /// The registry didn't answer, or not to the end.
    #[error("download {url}")]
    Unreachable {
        /// What was asked for.
        url: String,
        /// What the connection said.
        #[source]
        source: reqwest::Error,
    },
    /// The registry doesn't have it, or refuses it.
    #[error("download {url}: the registry answered {status}")]
    Refused {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// The archive isn't the one this source names. It has been removed.
    #[error("trust {url}: its hash is {found}, not {expected}")]
    WrongHash {
        /// Where it came from.
        url: String,
        /// The hash in this source.
        expected: &'static str,
        /// The hash of what came.
        found: String,
    },
    /// The archive is longer than anything that makes sense, whole or unpacked.
    #[error("take more than {limit} bytes from {url}")]
    TooLarge {
        /// Where it came from.
        url: String,
        /// The cap, in bytes.
        limit: u64,
    },
    /// The archive has the right hash and no binary in it.
    #[error("find `{MEMBER}` in {url}")]
    NoBinary {
        /// Where it came from.
        url: String,
    },
    /// The disk refused.
    #[error("write OpenCode to {}", path.display())]
    Disk {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The binary is another version than [`VERSION`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("use OpenCode `{found}`: this needs {VERSION}")]
pub struct WrongVersion {
    /// What it printed, its first line.
    pub found: String,
}

/// Checks what `opencode --version` printed.
pub fn check_version(printed: &str) -> Result<(), WrongVersion> {
    let line = printed.trim().lines().next().unwrap_or_default().trim();
    if line.strip_prefix('v').unwrap_or(line) == VERSION {
        Ok(())
    } else {
        Err(WrongVersion { found: line.chars().take(64).collect() })
    }
}

/// Returns where [`fetch`] puts the binary beneath `dir`.
pub fn binary_path(dir: &Path) -> PathBuf {
    dir.join(format!("opencode-{VERSION}")).join("opencode")
}

/// Chooses the artifact for this machine.
pub fn artifact() -> Result<&'static Artifact, InstallError> {
    let os = std::env::consts::OS;
    let arch = std::env::consts::ARCH;
    let (artifact, loader) = match (os, arch) {
        ("linux", "x86_64") if has_avx2() => (&LINUX_X64, "/lib64/ld-linux-x86-64.so.2"),
        ("linux", "x86_64") => (&LINUX_X64_BASELINE, "/lib64/ld-linux-x86-64.so.2"),
        ("linux", "aarch64") => (&LINUX_ARM64, "/lib/ld-linux-aarch64.so.1"),
        _ => {
            return Err(InstallError::UnsupportedPlatform { os, arch, libc: true });
        }
    };
    // Without that loader the kernel says "no such file" about a binary that is there.
    if Path::new(loader).exists() {
        Ok(artifact)
    } else {
        Err(InstallError::UnsupportedPlatform { os, arch, libc: false })
    }
}

/// Installs OpenCode beneath `dir`, from `registry`, and returns the binary's path; at once if it is there.
///
/// `progress` gets the bytes so far and, if known, of how many. Dropping the future leaves nothing behind.
pub async fn fetch(
    registry: &Url,
    dir: &Path,
    progress: impl FnMut(u64, Option<u64>),
) -> Result<PathBuf, InstallError> {
    fetch_artifact(artifact()?, registry, dir, progress).await
}

async fn fetch_artifact(
    artifact: &'static Artifact,
    registry: &Url,
    dir: &Path,
    mut progress: impl FnMut(u64, Option<u64>),
) -> Result<PathBuf, InstallError> {
    let binary = binary_path(dir);
    let home = dir.join(format!("opencode-{VERSION}"));
    if is_installed(&home, &binary, artifact.pin) {
        return Ok(binary);
    }
    let address = archive_url(registry, artifact.package)?;
    let url = shown(&address);
    let disk = |source| InstallError::Disk { path: home.clone(), source };
    fs::create_dir_all(&home).map_err(disk)?;
    let unreachable =
        |source: reqwest::Error| InstallError::Unreachable { url: url.clone(), source: source.without_url() };
    let client = reqwest::Client::builder()
        .connect_timeout(CONNECT_LIMIT)
        .read_timeout(SILENCE_LIMIT)
        .build()
        .map_err(unreachable)?;
    let mut response = client.get(address).send().await.map_err(unreachable)?;
    if !response.status().is_success() {
        return Err(InstallError::Refused { url, status: response.status().as_u16() });
    }
    let total = response.content_length();
    if total.is_some_and(|total| total > ARCHIVE_LIMIT) {
        return Err(InstallError::TooLarge { url, limit: ARCHIVE_LIMIT });
    }
    let mut archive = tempfile::Builder::new().prefix(".download-").tempfile_in(&home).map_err(disk)?;
    let mut hash = Hash::new(artifact.pin);
    let mut got = 0;
    progress(got, total);
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        got += chunk.len() as u64;
        if got > ARCHIVE_LIMIT {
            return Err(InstallError::TooLarge { url, limit: ARCHIVE_LIMIT });
        }
        hash.update(&chunk);
        archive.write_all(&chunk).map_err(disk)?;
        progress(got, total);
    }
    let (expected, found) = (artifact.pin.text(), hash.finish());
    if expected != found {
        return Err(InstallError::WrongHash { url, expected, found });
    }
    let pin = artifact.pin;
    let unpacked = tokio::task::spawn_blocking(move || unpack(archive, &home, &url, pin));
    unpacked.await.expect("unpacking doesn't panic")?;
    Ok(binary)
}

/// Whether a finished installation is there: a cheap look, not a new hash of 185 MB.
fn is_installed(home: &Path, binary: &Path, pin: Pin) -> bool {
    let Ok(metadata) = fs::metadata(binary) else {
        return false;
    };
    fs::read_to_string(marker_path(home)).is_ok_and(|marker| marker == marker_text(pin, metadata.len()))
}

fn marker_path(home: &Path) -> PathBuf {
    home.join("installed")
}

fn marker_text(pin: Pin, length: u64) -> String {
    format!("{}\n{length}\n", pin.text())
}

fn archive_url(registry: &Url, package: &str) -> Result<Url, InstallError> {
    let mut url = registry.clone();
    let unusable = |()| InstallError::Registry { registry: shown(registry) };
    if !matches!(url.scheme(), "http" | "https") {
        return Err(unusable(()));
    }
    let archive = format!("{package}-{VERSION}.tgz");
    url.path_segments_mut().map_err(unusable)?.pop_if_empty().extend([package, "-", &archive]);
    Ok(url)
}

/// A private registry's address may hold a password.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    // Addresses that can't hold one refuse, which is as good.
    let _can_hold = url.set_username("").and_then(|()| url.set_password(None));
    url.into()
}

/// Takes the binary out of a checked archive and puts it where it belongs, whole.
fn unpack(mut archive: NamedTempFile, home: &Path, url: &str, pin: Pin) -> Result<(), InstallError> {
    let disk = |source| InstallError::Disk { path: home.to_owned(), source };
    archive.rewind().map_err(disk)?;
    let mut tar = tar::Archive::new(GzDecoder::new(archive.as_file()));
    for entry in tar.entries().map_err(disk)? {
        let mut entry = entry.map_err(disk)?;
        // Nothing is written under a name from the archive: the one member is compared, everything else is skipped.
        let wanted = entry.header().entry_type().is_file() && entry.path_bytes().as_ref() == MEMBER.as_bytes();
        if !wanted {
            continue;
        }
        if entry.size() > BINARY_LIMIT {
            return Err(InstallError::TooLarge { url: url.to_owned(), limit: BINARY_LIMIT });
        }
        let mut file = tempfile::Builder::new().prefix(".unpack-").tempfile_in(home).map_err(disk)?;
        let length = io::copy(&mut entry, &mut file).map_err(disk)?;
        make_executable(file.as_file()).map_err(disk)?;
        file.as_file().sync_all().map_err(disk)?;
        // Crash: the marker is written last, so a half-done installation is done again.
        file.persist(home.join("opencode")).map_err(|error| disk(error.error))?;
        let mut marker = tempfile::Builder::new().prefix(".marker-").tempfile_in(home).map_err(disk)?;
        marker.write_all(marker_text(pin, length).as_bytes()).map_err(disk)?;
        marker.persist(marker_path(home)).map_err(|error| disk(error.error))?;
        return Ok(());
    }
    Err(InstallError::NoBinary { url: url.to_owned() })
}

#[cfg(unix)]
fn make_executable(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
fn make_executable(_file: &File) -> io::Result<()> {
    Ok(())
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    std::arch::is_x86_feature_detected!("avx2")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_avx2() -> bool {
    false
}

impl Pin {
    fn text(self) -> &'static str {
        match self {
            Self::Sha512(text) | Self::Sha256(text) => text,
        }
    }
}

enum Hash {
    Sha512(Sha512),
    Sha256(Sha256),
}

impl Hash {
    fn new(pin: Pin) -> Self {
        match pin {
            Pin::Sha512(_) => Self::Sha512(Sha512::new()),
            Pin::Sha256(_) => Self::Sha256(Sha256::new()),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha512(hash) => hash.update(bytes),
            Self::Sha256(hash) => hash.update(bytes),
        }
    }

    /// Returns the hash in the form that its pin has.
    fn finish(self) -> String {
        match self {
            Self::Sha512(hash) => STANDARD.encode(hash.finalize()),
            Self::Sha256(hash) => {
                let mut text = String::with_capacity(64);
                for byte in hash.finalize() {
                    write!(text, "{byte:02x}").expect("a string takes everything");
                }
                text
            }
        }
    }
}

#[cfg(test)]
mod tests;
