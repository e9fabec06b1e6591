use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{EntryType, Header};

use super::*;
use crate::fake::{End, chunks, listen, serve};

const BINARY: &[u8] = b"#!/bin/sh\necho 1.18.33\n";

/// An archive of these members: name, kind, content.
fn archive(members: &[(&str, EntryType, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, kind, content) in members {
        let mut header = Header::new_ustar();
        // Written as bytes: the library refuses the names that an attacker would choose.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        if *kind == EntryType::Symlink {
            header.set_link_name("/etc/passwd").expect("a short name");
        }
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append(&header, *content).expect("a vector takes everything");
    }
    builder.into_inner().expect("a vector").finish().expect("a vector")
}

fn real() -> Vec<u8> {
    archive(&[("package/package.json", EntryType::Regular, b"{}"), (MEMBER, EntryType::Regular, BINARY)])
}

fn pinned(archive: &[u8]) -> &'static Artifact {
    let hash = STANDARD.encode(Sha512::digest(archive));
    Box::leak(Box::new(Artifact { package: "opencode-test", pin: Pin::Sha512(hash.leak()) }))
}

/// A registry that answers with `answer`, and how often it was asked.
async fn registry(answer: impl Fn() -> Response + Clone + Send + Sync + 'static) -> (Url, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    let path = format!("/mirror/opencode-test/-/opencode-test-{VERSION}.tgz");
    let handler = move || {
        counter.fetch_add(1, Ordering::SeqCst);
        std::future::ready(answer())
    };
    let port = serve(Router::new().route(&path, axum::routing::get(handler))).await;
    (Url::parse(&format!("http://127.0.0.1:{port}/mirror/")).expect("an address"), asked)
}

/// What is in the installation's directory.
fn left_in(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir.join(format!("opencode-{VERSION}"))) else {
        return Vec::new();
    };
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn temp() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

#[tokio::test]
async fn the_binary_is_installed_once_with_progress() {
    use std::os::unix::fs::PermissionsExt;
    let bytes = real();
    let (length, artifact) = (bytes.len() as u64, pinned(&bytes));
    let (url, asked) = registry(move || bytes.clone().into_response()).await;
    let dir = temp();
    let mut seen = Vec::new();
    let path = fetch_artifact(artifact, &url, dir.path(), |got, total| {
        seen.push((got, total));
    })
    .await
    .expect("installed");
    assert_eq!(path, binary_path(dir.path()));
    assert_eq!(fs::read(&path).expect("readable"), BINARY);
    assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o755);
    assert_eq!((seen.first(), seen.last()), (Some(&(0, Some(length))), Some(&(length, Some(length)))));
    assert_eq!(left_in(dir.path()), ["installed", "opencode"]);

    fetch_artifact(artifact, &url, dir.path(), |_, _| panic!("nothing to download")).await.expect("already there");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_binary_of_another_length_than_was_installed_is_replaced() {
    let bytes = real();
    let artifact = pinned(&bytes);
    let (url, asked) = registry(move || bytes.clone().into_response()).await;
    let dir = temp();
    let path = fetch_artifact(artifact, &url, dir.path(), |_, _| {}).await.expect("installed");
    fs::write(&path, "half").expect("writable");
    fetch_artifact(artifact, &url, dir.path(), |_, _| {}).await.expect("installed again");
    assert_eq!(fs::read(&path).expect("readable"), BINARY);
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn an_archive_with_another_hash_is_removed_and_both_hashes_are_named() {
    let artifact = pinned(b"what this source expects");
    let (url, _) = registry(|| real().into_response()).await;
    let dir = temp();
    let error = fetch_artifact(artifact, &url, dir.path(), |_, _| {}).await.expect_err("another archive");
    let InstallError::WrongHash { expected, found, .. } = &error else { panic!("{error:?}") };
    assert_eq!(*expected, artifact.pin.text());
    assert_eq!(*found, STANDARD.encode(Sha512::digest(real())));
    assert!(error.to_string().contains(expected) && error.to_string().contains(found.as_str()), "{error}");
    assert_eq!(left_in(dir.path()), [] as [&str; 0]);
}

#[tokio::test]
async fn a_download_that_is_cut_leaves_nothing_behind() {
    let artifact = pinned(&real());
    let (url, _) = registry(|| chunks(vec![real()[..40].to_vec()], End::Cut).into_response()).await;
    let dir = temp();
    let error = fetch_artifact(artifact, &url, dir.path(), |_, _| {}).await.expect_err("cut");
    assert!(matches!(error, InstallError::Unreachable { .. }), "{error:?}");
    assert_eq!(left_in(dir.path()), [] as [&str; 0]);
}

#[tokio::test]
async fn names_in_the_archive_lead_nowhere() {
    let bytes = archive(&[
        ("../../evil", EntryType::Regular, b"evil"),
        ("/tmp/doce-opencode-evil", EntryType::Regular, b"evil"),
        (MEMBER, EntryType::Symlink, b""),
        ("package/bin/../bin/opencode", EntryType::Regular, b"evil"),
        (MEMBER, EntryType::Regular, BINARY),
    ]);
    let artifact = pinned(&bytes);
    let (url, _) = registry(move || bytes.clone().into_response()).await;
    let dir = temp();
    let inner = dir.path().join("a").join("b");
    let path = fetch_artifact(artifact, &url, &inner, |_, _| {}).await.expect("the one file is there");
    assert_eq!(fs::read(path).expect("readable"), BINARY);
    assert!(!dir.path().join("a").join("evil").exists() && !Path::new("/tmp/doce-opencode-evil").exists());
    assert_eq!(left_in(&inner), ["installed", "opencode"]);
}

#[tokio::test]
async fn an_archive_without_the_binary_is_refused() {
    let bytes = archive(&[(MEMBER, EntryType::Symlink, b"")]);
    let artifact = pinned(&bytes);
    let (url, _) = registry(move || bytes.clone().into_response()).await;
    let error = fetch_artifact(artifact, &url, temp().path(), |_, _| {}).await.expect_err("only a link");
    assert!(matches!(error, InstallError::NoBinary { .. }), "{error:?}");
}

#[tokio::test]
async fn archives_and_binaries_have_caps() {
    let (url, _) = registry(|| {
        (
            [("content-length", (ARCHIVE_LIMIT + 1).to_string())],
            Body::from_stream(futures::stream::pending::<Result<Vec<u8>, io::Error>>()),
        )
            .into_response()
    })
    .await;
    let error = fetch_artifact(pinned(b""), &url, temp().path(), |_, _| {}).await.expect_err("too long");
    assert!(matches!(error, InstallError::TooLarge { limit: ARCHIVE_LIMIT, .. }), "{error:?}");

    let mut header = Header::new_gnu();
    header.set_path(MEMBER).expect("a short name");
    header.set_size(BINARY_LIMIT + 1);
    header.set_cksum();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(header.as_bytes()).expect("a vector");
    let bytes = gzip.finish().expect("a vector");
    let artifact = pinned(&bytes);
    let (url, _) = registry(move || bytes.clone().into_response()).await;
    let error = fetch_artifact(artifact, &url, temp().path(), |_, _| {}).await.expect_err("too long");
    assert!(matches!(error, InstallError::TooLarge { limit: BINARY_LIMIT, .. }), "{error:?}");
}

#[tokio::test]
async fn a_registry_that_lacks_it_or_is_not_there_is_told_apart() {
    let (url, _) = registry(|| http::StatusCode::NOT_FOUND.into_response()).await;
    let error = fetch_artifact(pinned(b""), &url, temp().path(), |_, _| {}).await.expect_err("404");
    assert!(matches!(error, InstallError::Refused { status: 404, .. }), "{error:?}");

    let port = listen().await.local_addr().expect("bound").port();
    let nobody = Url::parse(&format!("http://127.0.0.1:{port}/")).expect("an address");
    let error = fetch_artifact(pinned(b""), &nobody, temp().path(), |_, _| {}).await.expect_err("nobody");
    assert!(matches!(error, InstallError::Unreachable { .. }), "{error:?}");

    let nonsense = Url::parse("data:text/plain,x").expect("an address");
    let error = fetch_artifact(pinned(b""), &nonsense, temp().path(), |_, _| {}).await.expect_err("no registry");
    assert!(matches!(error, InstallError::Registry { .. }), "{error:?}");
}

#[test]
fn a_disk_that_refuses_is_named() {
    let dir = temp();
    fs::write(dir.path().join("file"), "").expect("writable");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let registry = Url::parse("http://127.0.0.1:1/").expect("an address");
    let into = dir.path().join("file");
    let error = runtime.block_on(fetch(&registry, &into, |_, _| {})).expect_err("a file is no directory");
    assert!(matches!(&error, InstallError::Disk { path, .. } if path.starts_with(&into)), "{error:?}");
}

#[test]
fn a_version_is_read_from_what_is_printed() {
    assert_eq!(check_version("1.18.33\n"), Ok(()));
    assert_eq!(check_version("v1.18.33"), Ok(()));
    assert_eq!(check_version("1.18.34\n"), Err(WrongVersion { found: "1.18.34".to_owned() }));
    assert_eq!(check_version(""), Err(WrongVersion { found: String::new() }));
}

#[test]
fn every_pin_has_the_length_of_its_hash() {
    for artifact in [LINUX_X64, LINUX_X64_BASELINE, LINUX_ARM64] {
        let length = match artifact.pin {
            Pin::Sha512(text) => STANDARD.decode(text).expect("base64").len(),
            Pin::Sha256(text) => text.len(),
        };
        assert_eq!(length, 64, "{}", artifact.package);
    }
}
