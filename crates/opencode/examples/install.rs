//! Installs the pinned `OpenCode` beneath a directory and prints the binary's path: `cargo xtask test` prepares the tests with it.
//!
//! usage: install DIRECTORY [REGISTRY]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is a command-line tool")]

use std::error::Error;
use std::path::Path;

use doce_opencode::install::fetch;
use url::Url;

const NPM: &str = "https://registry.npmjs.org";
/// How many bytes lie between two lines of progress.
const STRIDE: u64 = 16 * 1024 * 1024;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().ok_or("usage: install DIRECTORY [REGISTRY]")?;
    let registry = Url::parse(&arguments.next().unwrap_or_else(|| NPM.to_owned()))?;
    let mut said = 0;
    let progress = |done: u64, total: Option<u64>| {
        if done / STRIDE > said {
            said = done / STRIDE;
            let total = total.map_or_else(String::new, |total| format!(" of {}", total >> 20));
            eprintln!("{}{total} MB", done >> 20);
        }
    };
    let binary = fetch(&registry, Path::new(&directory), progress).await?;
    println!("{}", binary.display());
    Ok(())
}
