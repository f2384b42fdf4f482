//! A panel beneath the story, redrawn in place, where standard output is a terminal.
//!
//! The terminal has a thread of the runtime's for blocking work: one that stops reading (Ctrl-S, a slow line) must not stop the lab, which answers the
//! probes from this process. Story lines go above the panel and stay in the terminal's scrollback.

use super::view::{Look, View};
use crate::admin::{At, get};
use crate::cli::stage::narrate;
use ratatui::backend::CrosstermBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyModifiers};
use ratatui::crossterm::terminal::{
    BeginSynchronizedUpdate, EndSynchronizedUpdate, disable_raw_mode, enable_raw_mode, size,
};
use ratatui::crossterm::{cursor, execute, queue};
use ratatui::layout::Position;
use ratatui::style::Style;
use ratatui::{Terminal, TerminalOptions, Viewport};
use serde_json::Value;
use std::io::{self, BufWriter, IsTerminal, Stdout, Write, stdout};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// Between two looks at Serin.
const EVERY: Duration = Duration::from_millis(250);
/// A look that takes longer is none.
const LOOK_MAX: Duration = Duration::from_secs(1);
/// How soon a key is heard.
const KEYS: Duration = Duration::from_millis(50);
/// In anything smaller plain lines serve better: columns, and rows beside the panel's own.
const LEAST: (u16, u16) = (24, 2);
const SERVICE: &str = "checkout";

type Screen = Terminal<CrosstermBackend<BufWriter<Stdout>>>;

enum Message {
    Line(String),
    Look(Box<Look>),
    End,
}

/// A running panel. Dropping it gives the terminal back.
pub(super) struct Panel {
    messages: Sender<Message>,
    interrupted: Arc<Notify>,
    /// Disconnected when the terminal was given back.
    over: Receiver<()>,
}

impl Panel {
    /// Where standard output is a terminal that can have one; `None`: plain lines it is.
    pub(super) fn start(urls: usize) -> Option<Self> {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        if dumb || !stdout().is_terminal() {
            return None;
        }
        let (height, (columns, rows)) = (View::height(urls), size().ok()?);
        if columns < LEAST.0 || rows < height.saturating_add(LEAST.1) {
            return None;
        }
        let gone = Arc::<AtomicBool>::default();
        let screen = open(height, &gone).ok()?;
        let (messages, inbox) = channel();
        let interrupted = Arc::<Notify>::default();
        let ended = Arc::clone(&interrupted);
        let (end, over) = channel();
        tokio::task::spawn_blocking(move || {
            show(screen, &inbox, &ended, &gone);
            drop(end);
        });
        Some(Self { messages, interrupted, over })
    }

    /// Lines of the story, above the panel.
    pub(super) fn teller(&self) -> impl Fn(&str) + Send + use<> {
        let messages = self.messages.clone();
        move |text| drop(messages.send(Message::Line(text.to_owned())))
    }

    /// Looks at the Serin at `socket` until what is returned is dropped.
    pub(super) fn follow(&self, socket: PathBuf) -> JoinSet<()> {
        let messages = self.messages.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let at = At::Socket(socket);
            let mut ticks = tokio::time::interval(EVERY);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                if let Ok(Some(look)) = tokio::time::timeout(LOOK_MAX, look(&at)).await
                    && messages.send(Message::Look(Box::new(look))).is_err()
                {
                    return;
                }
            }
        });
        tasks
    }

    /// Waits for Ctrl-C, which is a key in here, or for a signal from elsewhere.
    pub(super) async fn interrupted(&self) {
        let heard = |kind: SignalKind| async move {
            match signal(kind) {
                Ok(mut signal) => {
                    signal.recv().await;
                }
                Err(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.interrupted.notified() => {}
            () = heard(SignalKind::interrupt()) => {}
            () = heard(SignalKind::terminate()) => {}
        }
    }
}

impl Drop for Panel {
    fn drop(&mut self) {
        // One that is gone has given the terminal back already.
        let _ = self.messages.send(Message::End);
        let _ = self.over.recv();
    }
}

async fn look(at: &At) -> Option<Look> {
    let json = |text: String| serde_json::from_str::<Value>(&text).ok();
    let mut status = json(get(at, "/api/v1/status").await.ok()?)?;
    let urls = json(get(at, &format!("/api/v1/services/{SERVICE}/urls?sort=file")).await.ok()?)?;
    let versions = versions(&get(at, "/metrics").await.ok()?);
    Some(Look { service: status["services"][SERVICE].take(), urls, versions })
}

/// Who answers, by `/metrics`.
fn versions(text: &str) -> Vec<(String, f64)> {
    let series = text.lines().filter_map(|line| line.strip_prefix("serin_answers_by_version{"));
    let one = |rest: &str| {
        let (labels, value) = rest.rsplit_once("} ")?;
        let version = labels.split("version=\"").nth(1)?.split('"').next()?;
        Some((version.to_owned(), value.parse().ok()?))
    };
    series.filter_map(one).collect()
}

/// The terminal, raw: what is typed would tear the panel otherwise.
fn open(height: u16, gone: &Arc<AtomicBool>) -> io::Result<Screen> {
    let (before, told) = (std::panic::take_hook(), Arc::clone(gone));
    std::panic::set_hook(Box::new(move |info| {
        if !told.swap(true, Ordering::SeqCst) {
            leave();
        }
        before(info);
    }));
    enable_raw_mode()?;
    let backend = CrosstermBackend::new(BufWriter::new(stdout()));
    let opened = Terminal::with_options(backend, TerminalOptions { viewport: Viewport::Inline(height) });
    if opened.is_err() {
        gone.store(true, Ordering::SeqCst);
        leave();
    }
    opened
}

/// Gives the terminal back as it was, on a line of its own.
fn leave() {
    // There is nobody to tell when it fails.
    let _ = disable_raw_mode();
    let _ = execute!(stdout(), EndSynchronizedUpdate, cursor::Show);
    let _ = stdout().write_all(b"\r\n").and_then(|()| stdout().flush());
}

/// Until the end, or until the terminal fails, when plain lines take over.
fn show(mut screen: Screen, inbox: &Receiver<Message>, interrupted: &Notify, gone: &AtomicBool) {
    let mut view = View::default();
    let drawn = draw_until_end(&mut screen, &mut view, inbox, interrupted, gone);
    if !gone.swap(true, Ordering::SeqCst) {
        let last = screen.get_frame().area().bottom().saturating_sub(1);
        let _ = screen.set_cursor_position(Position::new(0, last));
        let _ = screen.show_cursor();
        drop(screen);
        leave();
    }
    if drawn.is_err() {
        for message in inbox {
            match message {
                Message::Line(text) => narrate(&text),
                Message::Look(_) => {}
                Message::End => return,
            }
        }
    }
}

fn draw_until_end(
    screen: &mut Screen,
    view: &mut View,
    inbox: &Receiver<Message>,
    interrupted: &Notify,
    gone: &AtomicBool,
) -> io::Result<()> {
    let mut changed = true;
    loop {
        if gone.load(Ordering::SeqCst) {
            return Ok(());
        }
        if changed {
            together(screen, |screen| screen.draw(|frame| view.draw(frame)).map(drop))?;
        }
        changed = match inbox.recv_timeout(KEYS) {
            Ok(Message::Line(text)) => {
                // One update: the panel isn't seen to go while the line comes.
                together(screen, |screen| {
                    insert(screen, &text)?;
                    screen.draw(|frame| view.draw(frame)).map(drop)
                })?;
                false
            }
            Ok(Message::Look(look)) => {
                view.take(*look);
                true
            }
            Ok(Message::End) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
            Err(RecvTimeoutError::Timeout) => false,
        };
        while event::poll(Duration::ZERO)? {
            match event::read()? {
                Event::Resize(..) => changed = true,
                Event::Key(key)
                    if key.code == KeyCode::Char('q')
                        || key.code == KeyCode::Char('c')
                            && key.modifiers.contains(KeyModifiers::CONTROL) =>
                {
                    interrupted.notify_one();
                }
                _ => {}
            }
        }
    }
}

/// Terminals that know it show what `change` does at once, and not line by line.
fn together(screen: &mut Screen, change: impl FnOnce(&mut Screen) -> io::Result<()>) -> io::Result<()> {
    queue!(screen.backend_mut(), BeginSynchronizedUpdate)?;
    let changed = change(screen);
    execute!(screen.backend_mut(), EndSynchronizedUpdate)?;
    changed
}

/// `text` above the panel, broken where the terminal would.
fn insert(screen: &mut Screen, text: &str) -> io::Result<()> {
    let rows = broken(text, screen.size()?.width);
    screen.insert_before(u16::try_from(rows.len()).unwrap_or(u16::MAX), |buffer: &mut Buffer| {
        for (row, y) in rows.iter().zip(buffer.area.top()..buffer.area.bottom()) {
            buffer.set_string(0, y, row, Style::new());
        }
    })
}

fn broken(text: &str, width: u16) -> Vec<String> {
    let width = usize::from(width).max(1);
    let mut rows = Vec::new();
    for line in text.lines() {
        let letters: Vec<char> = line.chars().collect();
        rows.extend(letters.chunks(width).map(|row| row.iter().collect::<String>()));
        if letters.is_empty() {
            rows.push(String::new());
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_where_the_terminal_would() {
        assert_eq!(broken("abcde\n\nfg\n", 3), ["abc", "de", "", "fg"]);
        assert_eq!(broken("→→", 1), ["→", "→"]);
        assert_eq!(broken("ab", 0), ["a", "b"], "there is no such terminal");
    }

    #[test]
    fn who_answers_stands_in_the_figures() {
        let text = "# TYPE serin_answers_by_version gauge\n\
                    serin_answers_by_version{service=\"checkout\",version=\"blue-1\"} 61.5\n\
                    serin_answers_by_version{service=\"checkout\",version=\"a\\\"b} c\"} 2\nserin_armed{} 1\n";
        let told = versions(text);
        assert_eq!(told[0], ("blue-1".to_owned(), 61.5));
        assert_eq!(told.len(), 2, "{told:?}");
    }
}
