//! One connection, with or without TLS. Nothing here ever blocks.

use crate::request::{self, Request};
use rustls::{HandshakeKind, ServerConnection};
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;

/// Longer heads are refused.
const HEAD_MAX: usize = 4096;

/// What came of reading.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Came {
    /// A whole request.
    Request(Request),
    /// Not enough yet.
    Part,
    /// The client has gone, or speaks something else.
    End,
}

/// A client's connection.
pub(crate) struct Connection {
    socket: TcpStream,
    tls: Option<Box<ServerConnection>>,
    head: Box<[u8; HEAD_MAX]>,
    filled: usize,
    /// Its number, from 1.
    pub(crate) number: u32,
    shaken: bool,
}

impl Connection {
    /// `socket` must not block.
    pub(crate) fn new(socket: TcpStream, tls: Option<ServerConnection>, number: u32) -> Self {
        let head = Box::new([0; HEAD_MAX]);
        Self { socket, tls: tls.map(Box::new), head, filled: 0, number, shaken: false }
    }

    /// Reads what is there.
    pub(crate) fn read(&mut self) -> Came {
        if self.filled == HEAD_MAX {
            return Came::End;
        }
        let read = match self.tls.as_deref_mut() {
            None => self.socket.read(&mut self.head[self.filled..]),
            Some(tls) => read_tls(tls, &mut self.socket, &mut self.head[self.filled..]),
        };
        match read {
            Ok(0) => Came::End,
            Ok(more) => {
                self.filled += more;
                let Some(request) = request::parse(&self.head[..self.filled]) else { return Came::Part };
                self.filled = 0;
                Came::Request(request)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                Came::Part
            }
            Err(_) => Came::End,
        }
    }

    /// Writes an answer; the little that it is always fits a socket's buffer.
    pub(crate) fn write(&mut self, answer: &[u8]) -> io::Result<()> {
        let Some(tls) = self.tls.as_deref_mut() else { return self.socket.write_all(answer) };
        tls.writer().write_all(answer)?;
        flush(tls, &mut self.socket)
    }

    /// Says goodbye as TLS wants it; the socket ends when `self` is dropped.
    pub(crate) fn finish(mut self) {
        if let Some(tls) = self.tls.as_deref_mut() {
            tls.send_close_notify();
            // The client may have gone first.
            let _ = flush(tls, &mut self.socket);
        }
    }

    /// The kind of a handshake that has just ended; once.
    pub(crate) fn handshake(&mut self) -> Option<HandshakeKind> {
        let tls = self.tls.as_deref()?;
        if self.shaken || tls.is_handshaking() {
            return None;
        }
        self.shaken = true;
        tls.handshake_kind()
    }

    /// For epoll.
    pub(crate) const fn socket(&self) -> &TcpStream {
        &self.socket
    }
}

fn read_tls(tls: &mut ServerConnection, socket: &mut TcpStream, into: &mut [u8]) -> io::Result<usize> {
    if tls.read_tls(socket)? == 0 {
        return Ok(0);
    }
    tls.process_new_packets().map_err(io::Error::other)?;
    flush(tls, socket)?;
    tls.reader().read(into)
}

fn flush(tls: &mut ServerConnection, socket: &mut TcpStream) -> io::Result<()> {
    while tls.wants_write() {
        tls.write_tls(socket)?;
    }
    Ok(())
}
