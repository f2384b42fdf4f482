//! `serin top`: how each service stands, in a terminal, over the same API as the page.

mod view;

use super::{Failure, say};
use crate::admin::{At, get};
use clap::Args;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use serde_json::Value;
use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::runtime::Runtime;
use view::View;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(1);

/// `serin top`
#[derive(Args, Debug)]
pub(super) struct TopArgs {
    /// The admin listener of the running Serin (admin.listen).
    #[arg(long, env = "SERIN__ADMIN__LISTEN", default_value = "127.0.0.1:9464")]
    address: SocketAddr,
    /// Print one look as plain lines, as it does where standard output is no terminal.
    #[arg(long)]
    once: bool,
}

pub(super) fn top(args: &TopArgs) -> Result<(), Failure> {
    let runtime = super::runtime()?;
    let at = At::Tcp(args.address);
    let mut view = View::default();
    // Nobody to ask is told before the screen is taken.
    look(&runtime, &at, &mut view).map_err(Failure::Failed)?;
    if args.once || !io::stdout().is_terminal() {
        return say(&view.plain());
    }
    let mut terminal = ratatui::try_init()?;
    let ended = watch(&mut terminal, &runtime, &at, &mut view);
    ratatui::restore();
    ended.map_err(Failure::from)
}

fn watch(
    terminal: &mut ratatui::DefaultTerminal,
    runtime: &Runtime,
    at: &At,
    view: &mut View,
) -> io::Result<()> {
    let mut next = crate::clock::now().after(EVERY);
    loop {
        terminal.draw(|frame| view.draw(frame))?;
        if event::poll(next.since(crate::clock::now()))? {
            let Event::Key(key) = event::read()? else { continue };
            if key.kind == KeyEventKind::Release {
                continue;
            }
            match key.code {
                KeyCode::Char('q') | KeyCode::Esc => return Ok(()),
                // The terminal is raw: this is no signal.
                KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return Ok(()),
                KeyCode::Down | KeyCode::Char('j') => view.choose(1),
                KeyCode::Up | KeyCode::Char('k') => view.choose(-1),
                KeyCode::Char('s') => view.sort(),
                _ => continue,
            }
        }
        if crate::clock::now() >= next {
            next = crate::clock::now().after(EVERY);
            view.lost = look(runtime, at, view).err().map(|error| error.to_string());
        } else {
            // Another service, or another order: its URLs are asked for at once.
            view.urls = urls(runtime, at, view).unwrap_or_default();
        }
    }
}

/// Asks how everything stands.
fn look(runtime: &Runtime, at: &At, view: &mut View) -> Result<(), anyhow::Error> {
    let status: Value = serde_json::from_str(&runtime.block_on(get(at, "/api/v1/status"))?)?;
    view.take(status);
    view.urls = urls(runtime, at, view)?;
    Ok(())
}

fn urls(runtime: &Runtime, at: &At, view: &View) -> Result<Value, anyhow::Error> {
    let Some(service) = view.chosen() else { return Ok(Value::Null) };
    let path = format!("/api/v1/services/{service}/urls?per_page=100&sort={}", view.order());
    Ok(serde_json::from_str(&runtime.block_on(get(at, &path))?)?)
}
