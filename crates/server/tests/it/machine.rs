//! What a machine may lack: OpenCode, the right version of it, a sandbox. Each is named, with the way out.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use camino::Utf8Path;
use serde_json::json;

use crate::{
    cli::{Serving, doce},
    world::{BOUND, Browser, MODEL, PASSWORD, World, fake_opencode},
};

/// Writes a program of a few lines.
fn script(path: &Path, lines: &str) {
    fs::write(path, format!("#!/bin/sh\n{lines}\n")).expect("a file can be written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("it is ours");
}

/// Waits until the server says this of OpenCode, and returns why.
async fn opencode_is(browser: &Browser, state: &str) -> String {
    doce_testkit::wait_for(&format!("OpenCode is {state}"), BOUND, async || {
        let system = browser.get("/api/system").await.expect(200);
        (system["opencode"]["state"] == state)
            .then(|| system["opencode"]["detail"].as_str().unwrap_or_default().to_owned())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opencode_that_is_missing_is_named_and_found_when_it_is_tried_again() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let place = Utf8Path::from_path(directory.path()).expect("its path is UTF-8").join("opencode");
    let world = World::builder().running().opencode(place.as_str()).start().await;
    let browser = world.admin().await;
    let reason = opencode_is(&browser, "failed").await;
    assert!(reason.contains(place.as_str()) && reason.contains("DOCE_OPENCODE"), "{reason}");
    let problem = browser.get("/api/providers").await.problem(503, "catalogue_unavailable");
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(&reason)), "{problem}");

    std::os::unix::fs::symlink(fake_opencode(), &place).expect("a link can be made");
    let mut events = browser.stream("").await;
    browser.post("/api/system/opencode/retry", &json!({})).await.expect(202);
    let found = |frame: &crate::world::Frame| (frame.data["opencode"]["state"] == "ready").then_some(());
    events.find("OpenCode is there", found).await;
    browser.wait_for_catalogue().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opencode_of_another_version_is_named_with_the_version_that_is_needed() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let place = Utf8Path::from_path(directory.path()).expect("its path is UTF-8").join("opencode");
    script(place.as_std_path(), "echo 1.0.0");
    let world = World::builder().running().opencode(place.as_str()).start().await;
    let browser = world.admin().await;
    let reason = opencode_is(&browser, "failed").await;
    for part in ["`1.0.0`", doce_app::OPENCODE_VERSION, "unset DOCE_OPENCODE"] {
        assert!(reason.contains(part), "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_sandbox_no_project_is_made_and_the_way_out_is_said() {
    let (provider_id, model_id) = MODEL;
    // A bubblewrap that a system's security module refuses, and none at all.
    for (bwrap, expected) in [
        (Some("echo 'bwrap: denied by a rule of this system' >&2; exit 1"), "denied by a rule"),
        (None, "not installed"),
    ] {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let tools = directory.path().join("tools");
        fs::create_dir(&tools).expect("a directory can be made");
        if let Some(lines) = bwrap {
            script(&tools.join("bwrap"), lines);
        }
        let mut command = doce(directory.path());
        command.env("PATH", &tools);
        let serving = Serving::start(command);
        let browser = Browser::new(serving.port());
        browser.post("/api/setup", &json!({"username": "ada", "password": PASSWORD})).await.expect(201);
        let system = browser.get("/api/system").await.expect(200);
        assert_eq!(system["sandbox"]["state"], "unavailable", "{system}");
        let detail = system["sandbox"]["detail"].as_str().unwrap_or_default().to_owned();
        assert!(detail.contains(expected), "{detail}");
        let reason = opencode_is(&browser, "failed").await;
        assert!(reason.contains("only run in a sandbox"), "{reason}");
        let new = json!({"prompt": "A page", "model": {"provider_id": provider_id, "model_id": model_id}});
        let problem = browser.post("/api/projects", &new).await.problem(409, "sandbox_unavailable");
        assert!(problem["detail"].as_str().is_some_and(|text| text.contains(expected)), "{problem}");
        assert_eq!(browser.get("/api/projects").await.expect(200)["items"], json!([]));

        // Somebody follows the advice, and needs no restart.
        let real = ["/usr/local/bin/bwrap", "/usr/bin/bwrap", "/bin/bwrap"].map(Path::new);
        let real = real.into_iter().find(|path| path.exists()).expect("bubblewrap is installed");
        let _not_there = fs::remove_file(tools.join("bwrap"));
        std::os::unix::fs::symlink(real, tools.join("bwrap")).expect("a link can be made");
        browser.post("/api/system/opencode/retry", &json!({})).await.expect(202);
        opencode_is(&browser, "ready").await;
        assert_eq!(browser.get("/api/system").await.expect(200)["sandbox"]["state"], "active");
    }
}
