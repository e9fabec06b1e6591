//! The server's own log.
//!
//! Nothing secret is taken out of lines here, because nothing secret gets into them: no body, no header and no query
//! string is ever passed to the log, and secrets are of types that don't print
//! (`docs/decisions/0009-no-secret-is-taken-out-of-the-log.md`).

use tracing_subscriber::{EnvFilter, Layer as _, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use crate::{config::LogFormat, printer::Printer};

/// What is logged unless somebody asks for something else.
pub(crate) const DEFAULT_FILTER: &str = "warn,doce=info";

/// A filter that can't be read.
#[derive(Debug, thiserror::Error)]
#[error("read the log filter `{filter}`")]
pub(crate) struct FilterError {
    filter: String,
    #[source]
    source: tracing_subscriber::filter::ParseError,
}

/// Sends the log of this process to the printer.
pub(crate) fn start(filter: &str, format: LogFormat, printer: &Printer) -> Result<(), FilterError> {
    let parsed = EnvFilter::try_new(filter).map_err(|source| FilterError { filter: filter.to_owned(), source })?;
    let lines = tracing_subscriber::fmt::layer().with_writer(printer.clone()).with_target(true);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(false).compact().boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    // A second start in one process keeps the first log: that is a test's business only.
    drop(tracing_subscriber::registry().with(lines.with_filter(parsed)).try_init());
    Ok(())
}
