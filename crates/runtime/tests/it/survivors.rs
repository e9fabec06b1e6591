//! What survives us, how it is found again, and what becomes of strays.

use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Stdio},
    time::Duration,
};

use crate::common::World;
use doce_runtime::{Cause, Identity, Isolation, Runtime};

const GRACE: Duration = Duration::from_secs(10);

/// The program beside this test that starts one program and waits to be killed.
fn start_one() -> PathBuf {
    let own = std::env::current_exe().expect("we are a file");
    let target = own.parent().and_then(|deps| deps.parent()).expect("tests are built in target/…/deps");
    target.join("examples/start_one")
}

/// Lets another process start `script`, and reads by what it can be adopted.
#[expect(clippy::disallowed_methods, reason = "the test kills what it starts here in cold blood")]
fn start_elsewhere(world: &World, script: &str) -> (Child, Identity) {
    let how = match world.runtime.isolation() {
        Isolation::Sandboxed(_) => "sandboxed",
        Isolation::Unsandboxed => "unsandboxed",
        Isolation::Missing => unreachable!("each world has a way to run"),
    };
    let mut other = std::process::Command::new(start_one())
        .args([how, world.path("state").as_str(), world.path("log").as_str(), &world.marker, script])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the example is built with the tests");
    let mut line = String::new();
    BufReader::new(other.stdout.take().expect("it is piped")).read_line(&mut line).expect("it prints");
    let mut words = line.split_whitespace();
    let mut next = || words.next().expect("it prints three words");
    let identity = Identity {
        pid: next().parse().expect("a pid"),
        start_time: next().parse().expect("a time"),
        boot_id: next().to_owned(),
    };
    (other, identity)
}

#[tokio::test]
async fn what_runs_survives_our_violent_death_and_is_adopted() {
    for world in World::both().await {
        let script = format!("trap 'echo bye; exit 7' TERM; echo ready; sleep {} & wait", world.nap);
        let (mut other, identity) = start_elsewhere(&world, &script);
        world.wait_for_log(&world.path("log"), "ready").await;
        other.kill().expect("it is ours");
        other.wait().expect("it is ours");
        world.wait_for_naps(1).await;

        let running = world.runtime.adopt(&identity, world.path("log")).expect("it is alive");
        assert_eq!(running.identity(), &identity);
        let sandboxed = matches!(world.runtime.isolation(), Isolation::Sandboxed(_));
        assert_eq!(running.is_sandboxed(), sandboxed);
        let kept = world.runtime.sweep(&world.marker, &[]).await;
        assert_eq!(kept.killed, [], "what was adopted is no stray");

        let (waited, stopped) = tokio::join!(running.exited(), running.stop(GRACE));
        assert_eq!(waited, stopped.expect("it stops"));
        // Only a sandbox leaves word of a code to whoever isn't the parent.
        assert_eq!(waited.cause, if sandboxed { Cause::Code(7) } else { Cause::Unknown });
        assert!(running.log().tail(100).expect("it reads").ends_with("bye\n"));
        world.wait_for_naps(0).await;
        assert!(world.runtime.adopt(&identity, world.path("log")).is_none(), "it has ended");
    }
}

#[tokio::test]
async fn an_adopted_program_that_ends_leaves_nothing_and_tells_its_code() {
    let world = World::sandboxed().await;
    let script = format!("setsid sleep {} & read -r go < /dev/null; sleep 0.5; exit 9", world.nap);
    let (mut other, identity) = start_elsewhere(&world, &script);
    other.kill().expect("it is ours");
    other.wait().expect("it is ours");
    let running = world.runtime.adopt(&identity, world.path("log")).expect("it is alive");
    assert_eq!(running.exited().await.cause, Cause::Code(9));
    assert!(world.naps().is_empty());
}

#[tokio::test]
async fn nothing_is_adopted_unless_all_of_its_identity_matches() {
    for world in World::both().await {
        let spec = world.script("sleep $NAP");
        let running = world.runtime.start(&spec, world.path("log")).await.expect("it starts");
        let identity = running.identity().clone();
        let later = world.after_restart();
        let adopt = |changed: Identity| later.adopt(&changed, world.path("log"));
        assert!(adopt(Identity { start_time: identity.start_time + 1, ..identity.clone() }).is_none());
        assert!(adopt(Identity { boot_id: "another boot".into(), ..identity.clone() }).is_none());
        assert!(adopt(Identity { pid: std::process::id(), ..identity.clone() }).is_none());
        assert!(adopt(identity.clone()).is_some());
        running.stop(GRACE).await.expect("it stops");
        assert!(adopt(identity).is_none());
    }
}

#[tokio::test]
async fn a_sandbox_adopts_nothing_that_runs_without_one() {
    let [sandboxed, unsandboxed] = World::both().await;
    let spec = unsandboxed.script("sleep $NAP");
    let running = unsandboxed.runtime.start(&spec, unsandboxed.path("log")).await.expect("it starts");
    assert!(sandboxed.runtime.adopt(running.identity(), unsandboxed.path("log")).is_none());
    running.stop(GRACE).await.expect("it stops");
}

#[tokio::test]
async fn a_sweep_kills_strays_and_spares_what_is_kept_and_what_is_others() {
    for world in World::both().await {
        let start = async |marker: String| {
            let mut spec = world.script("setsid sleep $NAP & sleep $NAP");
            spec.marker = marker;
            world.runtime.start(&spec, world.path("log")).await.expect("it starts")
        };
        let kept = start(format!("{}.kept", world.marker)).await;
        let stray = start(format!("{}.stray", world.marker)).await;
        let others = start(format!("{}bc", world.marker)).await;
        world.wait_for_naps(6).await;

        let later = world.after_restart();
        let swept = later.sweep(&world.marker, &[kept.identity().clone()]).await;
        assert!(!swept.killed.is_empty());
        assert!(
            swept.killed.iter().all(|gone| gone.marker.starts_with(&format!("{}.stray.", world.marker))),
            "{swept:?}"
        );
        assert_eq!(swept.survived, []);
        world.wait_for_naps(4).await;
        assert!(!stray.exited().await.success());
        assert_eq!(later.sweep(&world.marker, &[kept.identity().clone()]).await.killed, []);
        assert!(later.adopt(kept.identity(), world.path("log")).is_some());

        // What was started here is spared without being named.
        assert_eq!(world.runtime.sweep(&world.marker, &[]).await.killed, []);
        kept.stop(GRACE).await.expect("it stops");
        others.stop(GRACE).await.expect("it stops");
        world.wait_for_naps(0).await;
    }
}

#[tokio::test]
async fn a_sweep_removes_the_notes_of_what_is_gone() {
    let world = World::sandboxed().await;
    let (mut other, _) = start_elsewhere(&world, &format!("sleep {}", world.nap));
    other.kill().expect("it is ours");
    other.wait().expect("it is ours");
    let notes = || std::fs::read_dir(world.path("state")).expect("it is there").count();
    assert_eq!(notes(), 1);
    let another = Runtime::new(Isolation::Unsandboxed, world.path("state"));
    assert!(!another.sweep(&world.marker, &[]).await.killed.is_empty());
    assert_eq!(notes(), 0);
    world.wait_for_naps(0).await;
}
