//! The little of HTTP/1.1 that the server understands: one request without a body at a time.

/// What one request asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// The number that follows the first slash of the path; 0 when there is none.
    pub(crate) path: u32,
    /// The client wants the connection to end after the answer.
    pub(crate) close: bool,
}

/// The request in `bytes`, once its head is whole.
pub(crate) fn parse(bytes: &[u8]) -> Option<Request> {
    // Without pipelining and bodies a head that is whole ends the buffer.
    let head = bytes.strip_suffix(b"\r\n\r\n")?;
    let mut lines = head.split(|byte| *byte == b'\n');
    let line = lines.next().unwrap_or_default();
    let close = lines.any(asks_to_close);
    Some(Request { path: number(line), close })
}

fn number(line: &[u8]) -> u32 {
    line.iter()
        .skip_while(|byte| **byte != b'/')
        .skip(1)
        .take_while(|byte| byte.is_ascii_digit())
        .fold(0, |sum: u32, digit| sum.wrapping_mul(10).wrapping_add(u32::from(digit - b'0')))
}

fn asks_to_close(line: &[u8]) -> bool {
    const NAME: &[u8] = b"connection:";
    let Some((name, value)) = line.split_at_checked(NAME.len()) else { return false };
    name.eq_ignore_ascii_case(NAME) && value.trim_ascii().eq_ignore_ascii_case(b"close")
}
