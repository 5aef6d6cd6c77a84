//! PutRecords as JSON (5.4.1 tables 5-66 and 5-67): the shape clients send, and nothing else.

use memchr::memchr2;

use crate::puts::{Puts, Span, BODY_MAX};

/// The request in `body`. None: Python has to look at it.
pub fn decode_put(body: &[u8]) -> Option<Puts> {
    if body.len() > BODY_MAX {
        return None;
    }
    let mut parser = Parser { body, at: 0, scratch: Vec::new(), key: Vec::new() };
    let mut puts = Puts::for_body(body.len());
    parser.request(&mut puts)?;
    Some(puts)
}

struct Parser<'a> {
    body: &'a [u8],
    at: usize,
    /// A string with escapes, without them.
    scratch: Vec<u8>,
    /// A partition key that had escapes.
    key: Vec<u8>,
}

/// A string as it stands in the body, or as it was put into `scratch`.
enum Text<'a> {
    Plain(&'a [u8]),
    Unescaped,
}

impl<'a> Parser<'a> {
    fn request(&mut self, puts: &mut Puts) -> Option<()> {
        let mut seen = [false; 3];
        self.begin(b'{')?;
        while let Some(name) = self.name()? {
            let field = match name {
                b"records" => 0,
                b"stream_name" => 1,
                b"stream_id" => 2,
                _ => {
                    utf8(name)?;
                    self.skip()?;
                    self.next(b'}')?;
                    continue;
                }
            };
            if std::mem::replace(&mut seen[field], true) {
                return None; // the last of two counts: Python knows
            }
            match field {
                0 => self.records(puts)?,
                1 => puts.stream_name = self.owned()?,
                _ => puts.stream_id = self.owned()?,
            }
            self.next(b'}')?;
        }
        self.space();
        (self.at == self.body.len()).then_some(())
    }

    fn records(&mut self, puts: &mut Puts) -> Option<()> {
        self.begin(b'[')?;
        self.space();
        if self.peek()? == b']' {
            self.at += 1;
            return Some(());
        }
        loop {
            self.record(puts)?;
            self.space();
            match self.take()? {
                b',' => {}
                b']' => return Some(()),
                _ => return None,
            }
        }
    }

    fn record(&mut self, puts: &mut Puts) -> Option<()> {
        let mut size = None;
        let (mut id, mut hash) = (None, None);
        let mut key: Option<Option<Key<'a>>> = None;
        let mut timestamp = false;
        self.begin(b'{')?;
        while let Some(name) = self.name()? {
            match name {
                b"data" if size.is_none() => {
                    size = Some(match self.string()? {
                        Text::Plain(text) => puts.push_base64(text)?,
                        Text::Unescaped => puts.push_base64(&self.scratch)?,
                    });
                }
                b"partition_key" if key.is_none() => {
                    key = Some(match self.optional()? {
                        None => None,
                        Some(Text::Plain(text)) => Some(Key::Plain(utf8(text)?)),
                        Some(Text::Unescaped) => {
                            std::mem::swap(&mut self.key, &mut self.scratch);
                            std::str::from_utf8(&self.key).ok()?;
                            Some(Key::Unescaped)
                        }
                    });
                }
                b"partition_id" if id.is_none() => id = Some(self.span(puts)?),
                b"explicit_hash_key" if hash.is_none() => hash = Some(self.span(puts)?),
                b"timestamp" if !timestamp => {
                    timestamp = true;
                    self.number_or_null()?;
                }
                b"data" | b"partition_key" | b"partition_id" | b"explicit_hash_key" | b"timestamp" => return None,
                _ => {
                    utf8(name)?;
                    self.skip()?;
                }
            }
            self.next(b'}')?;
        }
        let key = match &key {
            Some(Some(Key::Plain(text))) => Some(*text),
            Some(Some(Key::Unescaped)) => Some(self.key.as_slice()),
            _ => None,
        };
        puts.finish(size?, key, id.unwrap_or(Span::ABSENT), hash.unwrap_or(Span::ABSENT));
        Some(())
    }

    // What JSON is made of. All of these begin behind what came before and end behind what they read.

    fn peek(&self) -> Option<u8> {
        self.body.get(self.at).copied()
    }

    fn take(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn begin(&mut self, opening: u8) -> Option<()> {
        self.space();
        (self.take()? == opening).then_some(())
    }

    /// The name of an object's next field, up to its value; Some(None) at the end of the object. Names with escapes are
    /// Python's; the others have not been looked at.
    fn name(&mut self) -> Option<Option<&'a [u8]>> {
        self.space();
        match self.take()? {
            b'}' => return Some(None),
            b'"' => {}
            _ => return None,
        }
        let rest = &self.body[self.at..];
        let end = memchr2(b'"', b'\\', rest)?;
        if rest[end] != b'"' {
            return None;
        }
        self.at += end + 1;
        self.begin(b':')?;
        self.space();
        Some(Some(&rest[..end]))
    }

    /// Behind a field's value: stands before the next name, or before the closing brace.
    fn next(&mut self, closing: u8) -> Option<()> {
        self.space();
        match self.peek()? {
            b',' => {
                self.at += 1;
                self.space();
                (self.peek()? == b'"').then_some(())
            }
            byte => (byte == closing).then_some(()),
        }
    }

    /// A string. One without escapes has not been looked at: it may hold anything but quotes and backslashes.
    fn string(&mut self) -> Option<Text<'a>> {
        if self.take()? != b'"' {
            return None;
        }
        let rest = &self.body[self.at..];
        let end = memchr2(b'"', b'\\', rest)?;
        if rest[end] == b'"' {
            self.at += end + 1;
            return Some(Text::Plain(&rest[..end]));
        }
        self.unescape()?;
        Some(Text::Unescaped)
    }

    fn unescape(&mut self) -> Option<()> {
        self.scratch.clear();
        loop {
            let rest = &self.body[self.at..];
            let end = memchr2(b'"', b'\\', rest)?;
            self.scratch.extend_from_slice(printable(&rest[..end])?);
            self.at += end + 1;
            if rest[end] == b'"' {
                return Some(());
            }
            let byte = match self.take()? {
                byte @ (b'"' | b'\\' | b'/') => byte,
                b'b' => 8,
                b'f' => 12,
                b'n' => 10,
                b'r' => 13,
                b't' => 9,
                b'u' => {
                    let character = self.character()?;
                    self.scratch.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                    continue;
                }
                _ => return None,
            };
            self.scratch.push(byte);
        }
    }

    /// What `\u` stands for, with its second half where it needs one.
    fn character(&mut self) -> Option<char> {
        let first = self.hex()?;
        if !(0xd800..0xe000).contains(&first) {
            return char::from_u32(first);
        }
        if self.take()? != b'\\' || self.take()? != b'u' {
            return None;
        }
        let second = self.hex()?;
        if first >= 0xdc00 || !(0xdc00..0xe000).contains(&second) {
            return None;
        }
        char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00))
    }

    fn hex(&mut self) -> Option<u32> {
        let mut value = 0;
        for _ in 0..4 {
            value = value << 4 | char::from(self.take()?).to_digit(16)?;
        }
        Some(value)
    }

    fn null(&mut self) -> Option<bool> {
        if self.peek()? != b'n' {
            return Some(false);
        }
        self.literal(b"null")?;
        Some(true)
    }

    fn literal(&mut self, expected: &[u8]) -> Option<()> {
        let end = self.at.checked_add(expected.len())?;
        let there = self.body.get(self.at..end)? == expected;
        self.at = end;
        there.then_some(())
    }

    fn optional(&mut self) -> Option<Option<Text<'a>>> {
        if self.null()? {
            return Some(None);
        }
        self.string().map(Some)
    }

    fn owned(&mut self) -> Option<Option<String>> {
        let text = match self.optional()? {
            None => return Some(None),
            Some(Text::Plain(text)) => utf8(text)?.to_vec(),
            Some(Text::Unescaped) => self.scratch.clone(),
        };
        String::from_utf8(text).ok().map(Some)
    }

    fn span(&mut self, puts: &mut Puts) -> Option<Span> {
        Some(match self.optional()? {
            None => Span::ABSENT,
            Some(Text::Plain(text)) => puts.span(utf8(text)?),
            Some(Text::Unescaped) => {
                std::str::from_utf8(&self.scratch).ok()?;
                puts.span(&self.scratch)
            }
        })
    }

    /// A whole number of at most 18 digits, or null.
    fn number_or_null(&mut self) -> Option<()> {
        if self.null()? {
            return Some(());
        }
        if self.peek()? == b'-' {
            self.at += 1;
        }
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        let digits = &self.body[start..self.at];
        if digits.is_empty() || digits.len() > 18 || (digits[0] == b'0' && digits.len() > 1) {
            return None;
        }
        (!matches!(self.peek(), Some(b'.' | b'e' | b'E'))).then_some(())
    }

    /// The value of a field that means nothing here, if it is a simple one.
    fn skip(&mut self) -> Option<()> {
        match self.peek()? {
            b'"' => match self.string()? {
                Text::Plain(text) => utf8(text).map(drop),
                Text::Unescaped => std::str::from_utf8(&self.scratch).ok().map(drop),
            },
            b't' => self.literal(b"true"),
            b'f' => self.literal(b"false"),
            _ => self.number_or_null(),
        }
    }
}

enum Key<'a> {
    Plain(&'a [u8]),
    Unescaped,
}

/// `text`, if it may stand in a string: no control characters.
fn printable(text: &[u8]) -> Option<&[u8]> {
    // Without an early exit the compiler looks at many bytes at once.
    let control = text.iter().fold(false, |found, &byte| found | (byte < 0x20));
    (!control).then_some(text)
}

/// `text`, if it is UTF-8 without control characters.
fn utf8(text: &[u8]) -> Option<&[u8]> {
    std::str::from_utf8(printable(text)?).ok()?;
    Some(text)
}
