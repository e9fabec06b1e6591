//! Runs a program that ends by itself, and holds it to a time.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::{
    Ending, Runtime, Spec, StartError,
    launch::{self, Streams},
    running::Tree,
};

/// How much is kept of each stream: the beginning of the output, the end of the errors.
pub const OUTPUT_MAX_BYTES: usize = 1024 * 1024;
/// How long a line can be that is told while a program runs; a longer one is cut.
pub const LINE_MAX_BYTES: usize = 16 * 1024;

/// How much is read at once.
const CHUNK_BYTES: usize = 16 * 1024;

/// How long a stream may stay open after everything that was started is dead. Only a process that
/// left its sandboxless family behind can hold it.
const DRAIN_BOUND: Duration = Duration::from_secs(2);

/// One of the two streams a program prints to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// What it was asked for.
    Output,
    /// What it has to say about that.
    Errors,
}

/// Is told each line while a program runs, without its newline.
pub type OnLine<'a> = &'a mut (dyn FnMut(Stream, &str) + Send);

/// What a program left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// How it ended.
    pub ending: Ending,
    /// The first [`OUTPUT_MAX_BYTES`] of its output.
    pub stdout: Vec<u8>,
    /// Whether there was more output.
    pub stdout_is_cut: bool,
    /// The last [`OUTPUT_MAX_BYTES`] of its errors.
    pub stderr: Vec<u8>,
}

impl Output {
    /// The errors as text, for a person.
    pub fn errors(&self) -> String {
        String::from_utf8_lossy(&self.stderr).trim().to_owned()
    }
}

/// Why there is no [`Output`]. A program that ran and failed is none of these: it has an [`Ending`].
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It never ran.
    #[error("run {name}")]
    Start {
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: StartError,
    },
    /// It was killed, with all it started.
    #[error("finish {name} within {} seconds", .bound.as_secs_f32())]
    TooLong {
        /// Its name.
        name: String,
        /// The time it had.
        bound: Duration,
        /// The last of what it said, errors and output together as they were kept.
        said: String,
    },
}

impl Runtime {
    /// Runs a program to its end, for at most `bound`.
    ///
    /// At the bound, and when this is dropped, it is killed with everything it started. Once it has ended by itself,
    /// whatever it left behind is killed too.
    pub async fn run(&self, spec: &Spec, bound: Duration, on_line: Option<OnLine<'_>>) -> Result<Output, RunError> {
        let mut output = Reading::new(Stream::Output);
        let mut errors = Reading::new(Stream::Errors);
        let run = self.run_unbound(spec, &mut output, &mut errors, on_line);
        match tokio::time::timeout(bound, run).await {
            Ok(Ok(ending)) => {
                Ok(Output { ending, stdout: output.kept, stdout_is_cut: output.is_cut, stderr: errors.kept })
            }
            Ok(Err(source)) => Err(RunError::Start { name: spec.name.clone(), source }),
            Err(_elapsed) => {
                let said = if errors.kept.is_empty() { &output.kept } else { &errors.kept };
                let said = String::from_utf8_lossy(said).trim().to_owned();
                Err(RunError::TooLong { name: spec.name.clone(), bound, said })
            }
        }
    }

    async fn run_unbound(
        &self,
        spec: &Spec,
        output: &mut Reading,
        errors: &mut Reading,
        mut on_line: Option<OnLine<'_>>,
    ) -> Result<Ending, StartError> {
        let mut launched = launch::launch(&self.shared, spec, &Streams::Pipes).await?;
        let mut stdout = launched.child.stdout.take();
        let mut stderr = launched.child.stderr.take();
        let (mut output_chunk, mut errors_chunk) = (vec![0; CHUNK_BYTES], vec![0; CHUNK_BYTES]);
        let mut ended = std::pin::pin!(end_of(&launched.tree));
        let mut has_ended = false;
        let drained = tokio::time::sleep(Duration::MAX);
        let mut drained = std::pin::pin!(drained);
        while !has_ended || stdout.is_some() || stderr.is_some() {
            tokio::select! {
                read = read_some(&mut stdout, &mut output_chunk), if stdout.is_some() => {
                    output.take(&output_chunk[..read], &mut on_line);
                }
                read = read_some(&mut stderr, &mut errors_chunk), if stderr.is_some() => {
                    errors.take(&errors_chunk[..read], &mut on_line);
                }
                () = &mut ended, if !has_ended => {
                    has_ended = true;
                    drained.as_mut().reset(tokio::time::Instant::now() + DRAIN_BOUND);
                }
                () = &mut drained, if has_ended => break,
            }
        }
        output.finish(&mut on_line);
        errors.finish(&mut on_line);
        let ending = launched.tree.ending(Some(&mut launched.child));
        launched.leash.release();
        Ok(ending)
    }
}

/// Waits for the program, then ends what it left behind.
async fn end_of(tree: &Tree) {
    while !tree.outer.ended() {
        if let Err(error) = tree.outer.wait().await {
            tracing::warn!(pid = tree.outer.pid(), %error, "a process can't be waited for");
            tokio::time::sleep(DRAIN_BOUND).await;
        }
    }
    if let Err(error) = tree.kill().await {
        tracing::error!(pids = ?error.pids, "processes outlive the program that started them");
    }
}

/// Reads what is there; closes the stream at its end.
async fn read_some(stream: &mut Option<impl AsyncRead + Unpin>, chunk: &mut [u8]) -> usize {
    let read = match stream {
        Some(stream) => stream.read(chunk).await.unwrap_or(0),
        None => 0,
    };
    if read == 0 {
        *stream = None;
    }
    read
}

/// What was read from one stream so far.
struct Reading {
    stream: Stream,
    kept: Vec<u8>,
    is_cut: bool,
    /// The line that hasn't ended yet.
    line: Vec<u8>,
}

impl Reading {
    fn new(stream: Stream) -> Self {
        Self { stream, kept: Vec::new(), is_cut: false, line: Vec::new() }
    }

    fn take(&mut self, bytes: &[u8], on_line: &mut Option<OnLine<'_>>) {
        self.keep(bytes);
        if on_line.is_none() {
            return;
        }
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = LINE_MAX_BYTES - self.line.len();
            let text = piece.strip_suffix(b"\n").unwrap_or(piece);
            self.line.extend_from_slice(&text[..text.len().min(room)]);
            if text.len() < piece.len() {
                self.tell(on_line);
            }
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        match self.stream {
            Stream::Output => {
                let room = OUTPUT_MAX_BYTES - self.kept.len();
                self.kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
                self.is_cut |= bytes.len() > room;
            }
            Stream::Errors => {
                self.kept.extend_from_slice(bytes);
                let too_many = self.kept.len().saturating_sub(OUTPUT_MAX_BYTES);
                self.is_cut |= too_many > 0;
                self.kept.drain(..too_many);
            }
        }
    }

    fn finish(&mut self, on_line: &mut Option<OnLine<'_>>) {
        if !self.line.is_empty() {
            self.tell(on_line);
        }
    }

    fn tell(&mut self, on_line: &mut Option<OnLine<'_>>) {
        if let Some(on_line) = on_line {
            let text = String::from_utf8_lossy(&self.line);
            on_line(self.stream, text.strip_suffix('\r').unwrap_or(&text));
        }
        self.line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_keeps_its_beginning_and_errors_keep_their_end() {
        let mut text = vec![b'a'; OUTPUT_MAX_BYTES];
        text.extend_from_slice(b"end");
        let mut output = Reading::new(Stream::Output);
        let mut errors = Reading::new(Stream::Errors);
        for piece in text.chunks(CHUNK_BYTES) {
            output.keep(piece);
            errors.keep(piece);
        }
        assert!(output.is_cut && errors.is_cut);
        assert_eq!((output.kept.len(), errors.kept.len()), (OUTPUT_MAX_BYTES, OUTPUT_MAX_BYTES));
        assert!(!output.kept.ends_with(b"end") && errors.kept.ends_with(b"end"));
    }

    #[test]
    fn lines_are_told_whole_however_they_arrive() {
        let mut told = Vec::new();
        let mut on_line = |_: Stream, line: &str| told.push(line.to_owned());
        let mut on_line: Option<OnLine<'_>> = Some(&mut on_line);
        let mut reading = Reading::new(Stream::Output);
        for piece in ["on", "e\ntw", "o\r\n\nthree"] {
            reading.take(piece.as_bytes(), &mut on_line);
        }
        reading.take(&vec![b'x'; LINE_MAX_BYTES + 5], &mut on_line);
        reading.finish(&mut on_line);
        assert_eq!(told[..3], ["one", "two", ""]);
        assert_eq!(told[3].len(), LINE_MAX_BYTES);
        assert!(told[3].starts_with("threex"));
    }
}
