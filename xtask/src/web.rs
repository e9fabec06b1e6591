//! Builds the web client, and installs what npm packages a folder names: each only when it has to.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process::{self, Deadline};
use crate::project::Project;
use crate::stamp;

/// What the first page load may weigh, gzipped: React, router and queries. Pages come when visited.
const FIRST_LOAD_LIMIT: usize = 180 * 1024;

/// npm in a folder, without the noise that it makes by default.
pub(crate) fn npm(folder: &Path) -> Command {
    let mut npm = process::command("npm", folder);
    npm.env("npm_config_fund", "false").env("npm_config_audit", "false").env("npm_config_update_notifier", "false");
    npm
}

/// `npm ci` in `folder` if its lock file isn't the one that `node_modules` was made from.
///
/// Install scripts of packages never run.
pub(crate) fn install(project: &Project, folder: &str, node: &str, deadline: Deadline) -> Result<()> {
    let at = project.path(folder);
    let inputs = [at.join("package.json"), at.join("package-lock.json")];
    let number = stamp::hash(&inputs, &[], node)?;
    let mark = at.join("node_modules/.doce-install");
    if stamp::matches(&mark, number) {
        return Ok(());
    }
    let mut ci = npm(&at);
    ci.args(["ci", "--ignore-scripts"]).env("PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD", "1");
    process::run(&mut ci, deadline).with_context(|| format!("install the npm packages of {folder}/"))?;
    stamp::set(&mark, number)
}

/// Builds `web/dist` if one of its inputs changed.
pub(crate) fn build(project: &Project, node: &str, deadline: Deadline) -> Result<()> {
    install(project, "web", node, deadline)?;
    let web = project.path("web");
    let number = stamp::hash(std::slice::from_ref(&web), &["node_modules", "dist"], node)?;
    let mark = project.target().join("xtask/web-build");
    if web.join("dist/index.html").is_file() && stamp::matches(&mark, number) {
        return Ok(());
    }
    process::run(npm(&web).args(["run", "build"]), deadline).context("build the web client")?;
    stamp::set(&mark, number)
}

/// Checks the weight of what a browser loads first, and that all of it comes from doce.
pub(crate) fn check_sizes(project: &Project, deadline: Deadline) -> Result<String> {
    let dist = project.path("web/dist");
    let page = fs::read_to_string(dist.join("index.html")).context("read web/dist/index.html")?;
    let mut total = 0;
    let assets = first_load(&page)?;
    if assets.is_empty() {
        bail!("web/dist/index.html loads nothing: is it the built page?");
    }
    for asset in assets {
        let file = dist.join(asset.trim_start_matches('/'));
        let packed = process::read(
            process::command("sh", &dist).args(["-c", "gzip -9 -c \"$0\" | wc -c"]).arg(&file),
            deadline,
        )?;
        total += packed.trim().parse::<usize>().with_context(|| format!("weigh {asset}"))?;
    }
    if total > FIRST_LOAD_LIMIT {
        bail!("the first page load weighs {} KB gzipped; the limit is {} KB", total / 1024, FIRST_LOAD_LIMIT / 1024);
    }
    Ok(format!("{} KB of {} KB", total / 1024, FIRST_LOAD_LIMIT / 1024))
}

/// The scripts and styles that the page itself names.
fn first_load(page: &str) -> Result<Vec<&str>> {
    let mut assets = Vec::new();
    for attribute in ["src=\"", "href=\""] {
        for (at, _) in page.match_indices(attribute) {
            let rest = page.get(at + attribute.len()..).unwrap_or_default();
            let value = rest.split('"').next().unwrap_or_default();
            // What stands in the page itself is loaded from nowhere.
            if value.starts_with("data:") {
                continue;
            }
            if value.contains("://") || value.starts_with("//") {
                bail!("web/dist/index.html loads {value} from elsewhere");
            }
            let extension = Path::new(value).extension().and_then(|it| it.to_str());
            if matches!(extension, Some("js" | "css")) {
                assets.push(value);
            }
        }
    }
    Ok(assets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_and_styles_of_the_page_are_found_and_icons_are_not() {
        let page = r#"<link rel="icon" href="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg'%3E"><link rel="stylesheet" href="/assets/a.css">
            <script type="module" src="/assets/a.js"></script>"#;
        assert_eq!(first_load(page).unwrap(), ["/assets/a.js", "/assets/a.css"]);
    }

    #[test]
    fn a_page_that_loads_from_elsewhere_is_refused() {
        for remote in ["https://fonts.example/a.css", "//cdn.example/a.js"] {
            let page = format!(r#"<link href="{remote}">"#);
            assert!(first_load(&page).is_err(), "{remote}");
        }
    }
}
