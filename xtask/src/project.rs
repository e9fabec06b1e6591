//! Where things are in this checkout.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The checkout that this command works on.
#[derive(Debug, Clone)]
pub(crate) struct Project {
    root: PathBuf,
}

impl Project {
    /// Finds the checkout by the folder that `cargo run` names.
    pub(crate) fn locate() -> Result<Self> {
        let own = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = own.parent().context("xtask lies in a folder of the checkout")?;
        Ok(Self { root: root.to_path_buf() })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A path below the root.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// Cargo's output folder.
    pub(crate) fn target(&self) -> PathBuf {
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| self.path("target"), |chosen| self.root.join(chosen))
    }

    /// Where `cargo xtask test` puts programs that it had to install.
    pub(crate) fn tools(&self) -> PathBuf {
        self.target().join("tools")
    }

    /// The data directory of `cargo xtask run`.
    pub(crate) fn data(&self) -> PathBuf {
        std::env::var_os("DOCE_DATA_DIR").map_or_else(|| self.path("data"), PathBuf::from)
    }
}
