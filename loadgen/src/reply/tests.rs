//! Against trees: every cut, random pieces, and bytes that are no replies.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::*;

/// What a server may say, as a tree.
#[derive(Clone, Debug)]
enum Tree {
    Null(&'static str),
    Line(u8, Vec<u8>),
    Body(u8, Vec<u8>),
    Many(u8, Vec<Tree>),
    Attributed(Vec<Tree>, Box<Tree>),
}

impl Tree {
    fn random(rng: &mut SmallRng, depth: usize) -> Tree {
        let text: Vec<u8> = {
            let length = [0, 1, 2, 3, 10, 200][rng.random_range(0..6)];
            (0..length).map(|_| rng.random_range(b' '..b'~')).collect()
        };
        match rng.random_range(0..if depth == 0 { 8 } else { 14 }) {
            0 => Tree::Null(["$-1\r\n", "*-1\r\n", "_\r\n"][rng.random_range(0..3)]),
            1..4 => Tree::Line(b"+-:,#("[rng.random_range(0..6)], text),
            4..8 => {
                let binary = text.iter().map(|byte| if byte % 9 == 0 { b'\n' } else { *byte });
                Tree::Body(b"$$$=!"[rng.random_range(0..5)], binary.collect())
            }
            8..13 => {
                let kind = b"*~%>"[rng.random_range(0..4)];
                let count = rng.random_range(0..4) * if kind == b'%' { 2 } else { 1 };
                Tree::Many(kind, (0..count).map(|_| Tree::random(rng, depth - 1)).collect())
            }
            _ => {
                let count = 2 * rng.random_range(0..3);
                let attributes = (0..count).map(|_| Tree::random(rng, depth - 1)).collect();
                Tree::Attributed(attributes, Box::new(Tree::random(rng, depth - 1)))
            }
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Tree::Null(text) => out.extend_from_slice(text.as_bytes()),
            Tree::Line(kind, text) => {
                out.push(*kind);
                out.extend_from_slice(text);
                out.extend_from_slice(b"\r\n");
            }
            Tree::Body(kind, text) => {
                out.push(*kind);
                out.extend_from_slice(format!("{}\r\n", text.len()).as_bytes());
                out.extend_from_slice(text);
                out.extend_from_slice(b"\r\n");
            }
            Tree::Many(kind, trees) => {
                let count = trees.len() / if *kind == b'%' { 2 } else { 1 };
                out.push(*kind);
                out.extend_from_slice(format!("{count}\r\n").as_bytes());
                trees.iter().for_each(|tree| tree.encode(out));
            }
            Tree::Attributed(attributes, tree) => {
                out.extend_from_slice(format!("|{}\r\n", attributes.len() / 2).as_bytes());
                attributes.iter().for_each(|tree| tree.encode(out));
                tree.encode(out);
            }
        }
    }

    fn leaves_and_nulls(&self) -> (u64, u64) {
        match self {
            Tree::Null(_) => (1, 1),
            Tree::Line(..) | Tree::Body(..) => (1, 0),
            Tree::Many(_, trees) => trees.iter().fold((0, 0), |(leaves, nulls), tree| {
                let (more_leaves, more_nulls) = tree.leaves_and_nulls();
                (leaves + more_leaves, nulls + more_nulls)
            }),
            // Attributes inside an aggregate count: only in front of a reply they do not.
            Tree::Attributed(attributes, tree) => {
                let (leaves, nulls) = Tree::Many(b'*', attributes.clone()).leaves_and_nulls();
                let (more_leaves, more_nulls) = tree.leaves_and_nulls();
                (leaves + more_leaves, nulls + more_nulls)
            }
        }
    }

    fn summary(&self, keep: usize) -> Summary {
        let (leaves, nulls) = self.leaves_and_nulls();
        let (kind, text, length) = match self {
            Tree::Null(_) => (Kind::Null, &[][..], None),
            Tree::Line(b'-', text) => (Kind::Error, &text[..], Some(text.len())),
            Tree::Line(_, text) => (Kind::Scalar, &text[..], Some(text.len())),
            Tree::Body(b'!', text) => (Kind::Error, &text[..], Some(text.len())),
            Tree::Body(_, text) => (Kind::Scalar, &text[..text.len().min(keep)], Some(text.len())),
            Tree::Many(b'>', _) => (Kind::Push, &[][..], Some(0)),
            Tree::Many(..) => (Kind::Aggregate, &[][..], Some(0)),
            Tree::Attributed(_, tree) => return tree.summary(keep),
        };
        Summary { kind, leaves, nulls, text: text.to_vec(), length }
    }
}

#[derive(Debug, PartialEq)]
struct Summary {
    kind: Kind,
    leaves: u64,
    nulls: u64,
    text: Vec<u8>,
    length: Option<usize>,
}

fn summarize(reply: &Reply<'_>) -> Summary {
    Summary {
        kind: reply.kind,
        leaves: reply.leaves,
        nulls: reply.nulls,
        text: reply.text.to_vec(),
        length: (reply.kind != Kind::Null).then_some(reply.length as usize),
    }
}

fn feed(decoder: &mut Decoder, mut input: &[u8], out: &mut Vec<Summary>) {
    loop {
        let (used, reply) = decoder.decode(input).unwrap();
        let Some(reply) = reply else {
            assert_eq!(used, input.len());
            return;
        };
        out.push(summarize(&reply));
        input = &input[used..];
    }
}

#[test]
fn every_cut_and_random_chunks_agree_with_the_tree() {
    let mut rng = SmallRng::seed_from_u64(7);
    for keep in [0, 5, 1000] {
        for _ in 0..300 {
            let trees: Vec<_> = (0..3).map(|_| Tree::random(&mut rng, 3)).collect();
            let mut bytes = Vec::new();
            trees.iter().for_each(|tree| tree.encode(&mut bytes));
            let expected: Vec<_> = trees.iter().map(|tree| tree.summary(keep)).collect();
            for cut in 0..=bytes.len() {
                let (mut decoder, mut out) = (Decoder::new(keep), Vec::new());
                feed(&mut decoder, &bytes[..cut], &mut out);
                feed(&mut decoder, &bytes[cut..], &mut out);
                assert_eq!(out, expected, "cut at {cut} of {}", bytes.escape_ascii());
            }
            let (mut decoder, mut out, mut rest) = (Decoder::new(keep), Vec::new(), &bytes[..]);
            while !rest.is_empty() {
                let (chunk, more) = rest.split_at(rng.random_range(0..=rest.len().min(9)));
                feed(&mut decoder, chunk, &mut out);
                rest = more;
            }
            assert_eq!(out, expected, "{}", bytes.escape_ascii());
        }
    }
}

#[test]
fn misses_are_nulls_and_aggregates_of_nulls() {
    let cases: [(&[u8], bool); 7] = [
        (b"$-1\r\n", true),
        (b"_\r\n", true),
        (b"*2\r\n$-1\r\n_\r\n", true),
        (b"*2\r\n$-1\r\n$0\r\n\r\n", false),
        (b"*0\r\n", false),
        (b"$0\r\n\r\n", false),
        (b"-ERR no\r\n", false),
    ];
    for (bytes, miss) in cases {
        let mut decoder = Decoder::new(0);
        let (used, reply) = decoder.decode(bytes).unwrap();
        assert_eq!((used, reply.unwrap().is_miss()), (bytes.len(), miss));
    }
}

#[test]
fn what_is_not_resp_is_refused() {
    let cases: [&[u8]; 9] = [
        b"HTTP/1.1 400 Bad Request\r\n",
        b"+OK\n",
        b"\n",
        b"$3\r\nabcd\r\n",
        b"$3\r\nabc\rx",
        b"$?\r\n",
        b"$-2\r\n",
        b"*99999999999\r\n",
        b"$99999999999\r\n",
    ];
    for bytes in cases {
        for cut in 0..bytes.len() {
            let mut decoder = Decoder::new(0);
            let first = decoder.decode(&bytes[..cut]).map(|_| ());
            let refused = first.is_err() || decoder.decode(&bytes[cut..]).is_err();
            assert!(refused, "{}", bytes.escape_ascii());
        }
    }
}

#[test]
fn lines_and_nesting_are_bounded() {
    let mut decoder = Decoder::new(0);
    let endless = [b'x'; 1000];
    decoder.decode(b"+").unwrap();
    let refused = (0..100).any(|_| decoder.decode(&endless).is_err());
    assert!(refused && decoder.kept.len() <= LINE_MAX);

    let mut decoder = Decoder::new(0);
    for _ in 0..100_000 {
        assert_eq!(decoder.decode(b"*1\r\n").unwrap(), (4, None));
    }
    assert!(decoder.decode(b":1\r\n").unwrap().1.is_some());
    assert!(decoder.kept.capacity() < 1000);
}

#[test]
fn random_bytes_do_no_harm() {
    let mut rng = SmallRng::seed_from_u64(11);
    for _ in 0..20_000 {
        let length = rng.random_range(1..30);
        let alphabet = b"+-:$*%~>|_!=,#(0123459\r\n\r\nx";
        let bytes: Vec<u8> =
            (0..length).map(|_| alphabet[rng.random_range(0..alphabet.len())]).collect();
        let (mut decoder, mut rest) = (Decoder::new(8), &bytes[..]);
        while let Ok((used, Some(_))) = decoder.decode(rest) {
            assert!(used > 0);
            rest = &rest[used..];
        }
    }
}

#[test]
fn replies_like_the_one_before_and_almost_like_it() {
    // Same length and first byte, another length of as many digits, a null, a long header; then the
    // first of them again, and one whose end is wrong where the shape says it is.
    let text = b"$2\r\nab\r\n$2\r\ncd\r\n$3\r\nefg\r\n$-1\r\n$-1\r\n+OK\r\n+OK\r\n+NO\r\n\
                 :1234567890\r\n:1234567891\r\n$2\r\nhi\r\n$2\r\njkl\r\n";
    let (mut decoder, mut rest, mut texts) = (Decoder::new(5), &text[..], Vec::new());
    let refused = loop {
        match decoder.decode(rest) {
            Ok((used, Some(reply))) => {
                assert_eq!(reply.is_miss(), reply.kind == Kind::Null);
                texts.push(String::from_utf8_lossy(reply.text).into_owned());
                rest = &rest[used..];
            }
            Ok((_, None)) => break false,
            Err(_) => break true,
        }
    };
    let expected = ["ab", "cd", "efg", "", "", "OK", "OK", "NO", "1234567890", "1234567891", "hi"];
    assert_eq!(texts, expected);
    assert!(refused);
}
