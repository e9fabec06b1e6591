//! The walls between the crates, as `Cargo.toml` states them.

use anyhow::{Context, Result};
use serde_json::Value;

use super::Finding;

/// What a crate may use of ours. `doce-model` is below everything.
const BELOW: [(&str, &[&str]); 11] = [
    ("doce-model", &[]),
    ("doce-vault", &["doce-model"]),
    ("doce-store", &["doce-model"]),
    ("doce-jobs", &["doce-model", "doce-store"]),
    ("doce-runtime", &["doce-model"]),
    ("doce-opencode", &["doce-model"]),
    ("doce-gateway", &["doce-model"]),
    ("doce-legacy", &["doce-model"]),
    (
        "doce-app",
        &[
            "doce-model",
            "doce-vault",
            "doce-store",
            "doce-jobs",
            "doce-runtime",
            "doce-opencode",
            "doce-gateway",
            "doce-legacy",
        ],
    ),
    ("doce-server", &["doce-model", "doce-app"]),
    ("xtask", &[]),
];

/// Stands beside the others: it may use them all, and they use it only in tests.
const TESTKIT: &str = "doce-testkit";

/// Outside crates that only these may use, outside tests.
const CONFINED: [(&str, &[&str]); 8] = [
    ("sqlx", &["doce-store", "doce-legacy"]),
    ("scrypt", &["doce-vault"]),
    ("chacha20poly1305", &["doce-vault"]),
    ("argon2", &["doce-vault"]),
    ("hkdf", &["doce-vault"]),
    ("axum", &["doce-server", "doce-gateway"]),
    ("clap", &["doce-server"]),
    ("anyhow", &["doce-server", "xtask"]),
];

/// What `doce-model` may not touch: clock, disk, network, tasks.
const NOT_IN_MODEL: [&str; 7] = ["tokio", "reqwest", "hyper", "futures", "tempfile", "rustix", "nix"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum For {
    Program,
    Tests,
}

/// A crate of this workspace.
#[derive(Debug)]
pub(super) struct Package {
    name: String,
    uses: Vec<(String, For)>,
    manifest: String,
}

impl Package {
    /// Reads what `cargo metadata --no-deps` prints, and each crate's `Cargo.toml`.
    pub(super) fn all(metadata: &Value) -> Result<Vec<Self>> {
        let packages = metadata["packages"].as_array().context("`cargo metadata` names no packages")?;
        packages
            .iter()
            .map(|package| {
                let text =
                    |field: &str| package[field].as_str().with_context(|| format!("a package without `{field}`"));
                let path = text("manifest_path")?;
                Ok(Self {
                    name: text("name")?.to_owned(),
                    uses: uses(package),
                    manifest: std::fs::read_to_string(path).with_context(|| format!("read {path}"))?,
                })
            })
            .collect()
    }

    fn of_the_program(&self) -> impl Iterator<Item = &str> {
        self.uses.iter().filter(|(_, what)| *what == For::Program).map(|(name, _)| name.as_str())
    }
}

fn uses(package: &Value) -> Vec<(String, For)> {
    let dependencies = package["dependencies"].as_array().map(Vec::as_slice).unwrap_or_default();
    dependencies
        .iter()
        .filter_map(|dependency| {
            let name = dependency["name"].as_str()?;
            let what = if dependency["kind"] == "dev" { For::Tests } else { For::Program };
            Some((name.to_owned(), what))
        })
        .collect()
}

fn is_ours(name: &str) -> bool {
    name.starts_with("doce-") || name == "xtask"
}

/// An arrow that isn't in [`BELOW`], or a crate that isn't.
pub(super) fn arrows(packages: &[Package]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in packages.iter().filter(|package| package.name != TESTKIT) {
        let Some((_, below)) = BELOW.iter().find(|(name, _)| *name == package.name) else {
            findings.push(Finding::new(&package.name, "has no place in the walls: add it to xtask's table"));
            continue;
        };
        for (used, what) in package.uses.iter().filter(|(used, _)| is_ours(used)) {
            // A crate names itself to switch a feature of its own on for its tests.
            let only_for_tests = *what == For::Tests && (used == TESTKIT || *used == package.name);
            if !below.contains(&used.as_str()) && !only_for_tests {
                findings.push(Finding::new(&package.name, format!("must not use `{used}`")));
            }
        }
    }
    findings
}

/// An outside crate used where it doesn't belong.
pub(super) fn confined(packages: &[Package]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in packages.iter().filter(|package| package.name != TESTKIT) {
        for used in package.of_the_program() {
            let allowed = CONFINED.iter().find(|(name, _)| *name == used);
            if let Some((_, places)) = allowed
                && !places.contains(&package.name.as_str())
            {
                let problem = format!("must not use `{used}`: only {} may", places.join(" and "));
                findings.push(Finding::new(&package.name, problem));
            }
            if package.name == "doce-model" && NOT_IN_MODEL.contains(&used) {
                findings.push(Finding::new(&package.name, format!("has rules only: not `{used}`")));
            }
        }
    }
    findings
}

/// A crate that leaves the workspace's lints out.
pub(super) fn lints(packages: &[Package]) -> Vec<Finding> {
    packages
        .iter()
        .filter(|package| !package.manifest.replace(' ', "").contains("[lints]\nworkspace=true"))
        .map(|package| Finding::new(&package.name, "doesn't say `[lints] workspace = true`"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, uses: &[(&str, For)]) -> Package {
        Package {
            name: name.to_owned(),
            uses: uses.iter().map(|(used, what)| ((*used).to_owned(), *what)).collect(),
            manifest: "[lints]\nworkspace = true\n".to_owned(),
        }
    }

    fn problems(findings: &[Finding]) -> Vec<&str> {
        findings.iter().map(|finding| finding.problem.as_str()).collect()
    }

    #[test]
    fn the_arrows_of_the_design_are_allowed() {
        let packages = [
            package("doce-server", &[("doce-app", For::Program), ("doce-testkit", For::Tests)]),
            package("doce-app", &[("doce-vault", For::Program), ("doce-store", For::Program)]),
            package("doce-jobs", &[("doce-store", For::Program), ("tokio", For::Program)]),
            package("doce-testkit", &[("doce-server", For::Program)]),
        ];
        assert_eq!(arrows(&packages), []);
    }

    #[test]
    fn an_arrow_through_a_wall_is_found() {
        let packages = [package("doce-store", &[("doce-vault", For::Program)])];
        assert_eq!(problems(&arrows(&packages)), ["must not use `doce-vault`"]);
    }

    #[test]
    fn the_testkit_is_for_tests_only() {
        let packages = [package("doce-app", &[("doce-testkit", For::Program)])];
        assert_eq!(problems(&arrows(&packages)), ["must not use `doce-testkit`"]);
    }

    #[test]
    fn tests_keep_to_the_arrows_too() {
        let packages = [package("doce-vault", &[("doce-store", For::Tests)])];
        assert_eq!(problems(&arrows(&packages)), ["must not use `doce-store`"]);
    }

    #[test]
    fn a_crate_without_a_place_is_found() {
        assert_eq!(arrows(&[package("doce-extra", &[])]).len(), 1);
    }

    #[test]
    fn a_database_driver_outside_the_store_is_found() {
        let packages =
            [package("doce-store", &[("sqlx", For::Program)]), package("doce-app", &[("sqlx", For::Program)])];
        assert_eq!(problems(&confined(&packages)), ["must not use `sqlx`: only doce-store and doce-legacy may"]);
    }

    #[test]
    fn rules_touch_no_network() {
        let packages = [package("doce-model", &[("reqwest", For::Program)])];
        assert_eq!(problems(&confined(&packages)), ["has rules only: not `reqwest`"]);
    }

    #[test]
    fn a_crate_without_the_lints_is_found() {
        let mut bare = package("doce-app", &[]);
        bare.manifest = "[package]\n".to_owned();
        assert_eq!(lints(&[bare]).len(), 1);
        assert_eq!(lints(&[package("doce-app", &[])]), []);
    }

    #[test]
    fn dependencies_are_read_from_cargo() {
        let package = serde_json::json!({"dependencies": [
            {"name": "serde", "kind": null}, {"name": "tempfile", "kind": "dev"}, {"name": "cc", "kind": "build"}
        ]});
        let expected = [("serde", For::Program), ("tempfile", For::Tests), ("cc", For::Program)];
        assert_eq!(uses(&package), expected.map(|(name, what)| (name.to_owned(), what)));
    }
}
