use super::hostile::read_everything;
use super::*;
use crate::store::split_mix;
use crate::text::number::Digits;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn of(elements: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let mut run = new().to_vec();
    push_many(&mut run, End::Back, elements.iter().map(|e| Element::from(e.as_ref()))).unwrap();
    run
}

fn texts(run: &[u8]) -> Vec<Vec<u8>> {
    Packed::new(run).iter().map(Element::to_vec).collect()
}

/// The runs that DUMP of redis-server 7.0 has for HSET and RPUSH of these.
#[test]
fn bytes_are_those_of_redis() {
    assert_eq!(new().as_slice(), hex("07000000 0000 ff"));
    let pairs = [
        "f1", "0", "f2", "127", "f3", "128", "f4", "4095", "f5", "-4096", "f6", "4096", "f7", "-1",
    ];
    let expected = "37000000 0e00 82663103 0001 82663203 7f01 82663303 c08002 82663403 cfff02 \
                    82663503 d00002 82663603 f1001003 82663703 dfff02 ff";
    assert_eq!(of(&pairs), hex(expected));
    let list = [
        "32767",
        "-32768",
        "32768",
        "8388607",
        "-8388608",
        "8388608",
        "2147483647",
        "-2147483648",
        "2147483648",
        "9223372036854775807",
        "-9223372036854775808",
        "9223372036854775808",
        "-0",
        "01",
        "",
        "xxxxx",
    ];
    let expected = "740000001000f1ff7f03f1008003f200800004f2ffff7f04f200008004f30000800005f3ffffff7f \
                    05f30000008005f4000000800000000009f4ffffffffffffff7f09f4000000000000008009933932 \
                    323333373230333638353437373538303814822d300382303103800185787878787806ff";
    assert_eq!(of(&list), hex(expected));
    let run = of(&list);
    assert_eq!(texts(&run), list.map(|e| e.as_bytes().to_vec()));
}

/// Lengths at which an encoding or a back length changes: the entry's first bytes and its back
/// length, from DUMP of redis-server 7.0.
#[test]
fn long_strings_are_encoded_as_by_redis() {
    for (len, total, encoding, back_length) in [
        (63, 72, "bf", "40"),
        (64, 74, "e040", "42"),
        (125, 135, "e07d", "7f"),
        (126, 137, "e07e", "0180"),
        (4095, 4106, "efff", "2081"),
        (4096, 4110, "f000100000", "2085"),
        (16_376, 16_390, "f0f83f0000", "7ffd"),
        (16_377, 16_391, "f0f93f0000", "7ffe"),
        (16_378, 16_393, "f0fa3f0000", "00ffff"),
        (16_379, 16_394, "f0fb3f0000", "018080"),
        (2_097_145, 2_097_160, "f0f9ff1f00", "7ffffe"),
        (2_097_146, 2_097_162, "f0faff1f00", "00ffffff"),
    ] {
        let text = vec![b'y'; len];
        let run = of(&[&text]);
        assert_eq!(run[..4], u32::to_le_bytes(total), "{len}");
        assert_eq!(run[4..6], [1, 0]);
        let (encoding, back_length) = (hex(encoding), hex(back_length));
        assert!(run[6..].starts_with(&encoding), "{len}");
        assert!(run[..run.len() - 1].ends_with(&back_length), "{len}");
        assert_eq!(run.len(), 7 + encoding.len() + len + back_length.len(), "{len}");
        assert_eq!(run.len(), total as usize);
        assert_eq!(check(&run), Ok(1));
        assert_eq!(Packed::new(&run).get(-1), Some(Element::Bytes(&text)));
    }
}

/// Around every value at which the encoding changes.
fn integers() -> Vec<i64> {
    let mut values = vec![i64::MIN, i64::MIN + 1, i64::MAX, i64::MAX - 1];
    for edge in [0, 127, 4095, 0x7FFF, 0x7F_FFFF, 0x7FFF_FFFF] {
        values.extend([edge - 1, edge, edge + 1, -edge - 2, -edge - 1, -edge]);
    }
    values
}

#[test]
fn integers_come_back_as_they_were() {
    let values = integers();
    let run = of(&values.iter().map(i64::to_string).collect::<Vec<_>>());
    assert_eq!(check(&run), Ok(values.len()));
    let forward: Vec<_> = Packed::new(&run).iter().collect();
    assert_eq!(forward, values.iter().map(|v| Element::Integer(*v)).collect::<Vec<_>>());
    let backward: Vec<_> = Packed::new(&run).iter().rev().collect();
    assert_eq!(backward, values.iter().rev().map(|v| Element::Integer(*v)).collect::<Vec<_>>());
    for (n, value) in values.iter().enumerate() {
        let text = value.to_string();
        let element = Packed::new(&run).get(n as i64).unwrap();
        assert_eq!(element.text(&mut Digits::default()), text.as_bytes());
        assert!(element.matches(&Needle::new(text.as_bytes())));
        assert!(!element.matches(&Needle::new(format!("{text} ").as_bytes())));
        assert!(!element.matches(&Needle::new(format!("0{text}").as_bytes())));
    }
}

#[test]
fn finds_fields_not_values() {
    let run = of(&["a", "b", "b", "7", "7", "a"]);
    let packed = Packed::new(&run);
    let first = packed.first().unwrap();
    let value = |field: &[u8]| {
        let field = packed.find(first, &Needle::new(field), 1)?;
        packed.at(packed.next(field)?)
    };
    assert_eq!(value(b"a"), Some(Element::Bytes(b"b")));
    assert_eq!(value(b"b"), Some(Element::Integer(7)));
    assert_eq!(value(b"7"), Some(Element::Bytes(b"a")));
    assert_eq!(value(b"c"), None);
    assert_eq!(packed.find(first, &Needle::new(b"7"), 0), packed.seek(3));
}

#[test]
fn counts_beyond_the_header_are_counted() {
    let mut run = new().to_vec();
    push_many(&mut run, End::Back, std::iter::repeat_n(Element::Integer(1), 65_534)).unwrap();
    assert_eq!((&run[4..6], Packed::new(&run).len()), (&[0xFE, 0xFF][..], 65_534));
    push(&mut run, End::Front, Element::Integer(2)).unwrap();
    push(&mut run, End::Back, Element::Integer(3)).unwrap();
    assert_eq!((&run[4..6], Packed::new(&run).len()), (&[0xFF, 0xFF][..], 65_536));
    assert_eq!(check(&run), Ok(65_536));
    for (index, element) in
        [(0, Some(2)), (-65_536, Some(2)), (65_535, Some(3)), (-1, Some(3)), (65_536, None)]
    {
        assert_eq!(Packed::new(&run).get(index), element.map(Element::Integer), "{index}");
    }
    assert_eq!(Packed::new(&run).get(-65_537), None);
}

const ALPHABET: [&[u8]; 12] = [
    b"",
    b"a",
    b"-",
    b"007",
    b"0",
    b"-1",
    b"127",
    b"128",
    b"-4097",
    b"70000",
    b"x-y",
    b"9999999999",
];

fn random_text(seed: &mut u64) -> Vec<u8> {
    match split_mix(seed) % 8 {
        0 => {
            let integers = integers();
            integers[split_mix(seed) as usize % integers.len()].to_string().into_bytes()
        }
        1 => {
            let lengths = [62, 63, 64, 65, 124, 125, 126, 127, 4094, 4095, 4096];
            vec![b'q'; lengths[split_mix(seed) as usize % lengths.len()]]
        }
        2 if split_mix(seed).is_multiple_of(8) => {
            vec![b'Q'; 16_370 + (split_mix(seed) % 16) as usize]
        }
        _ => ALPHABET[split_mix(seed) as usize % ALPHABET.len()].to_vec(),
    }
}

/// Random edits beside the same edits of a vector of texts.
#[test]
fn behaves_as_a_vector() {
    for start in 0..60 {
        let mut seed = start;
        let mut run = new().to_vec();
        let mut model: Vec<Vec<u8>> = Vec::new();
        for _ in 0..200 {
            edit_both(&mut run, &mut model, &mut seed);
            assert_eq!(check(&run), Ok(model.len()), "seed {start}");
            let packed = Packed::new(&run);
            assert_eq!((packed.len(), packed.is_empty()), (model.len(), model.is_empty()));
            assert_eq!(texts(&run), model, "seed {start}");
            let backward: Vec<_> = packed.iter().rev().map(Element::to_vec).collect();
            assert!(backward.iter().eq(model.iter().rev()), "seed {start}");
            compare_reads(packed, &model, &mut seed);
        }
    }
}

fn edit_both(run: &mut Vec<u8>, model: &mut Vec<Vec<u8>>, seed: &mut u64) {
    let text = random_text(seed);
    let element = Element::from(text.as_slice());
    let place = split_mix(seed) as usize % (model.len() + 1);
    let cursor = Packed::new(run).seek(place as i64);
    match (split_mix(seed) % 12, cursor) {
        (0 | 1, _) => {
            push(run, End::Front, element).unwrap();
            model.insert(0, text);
        }
        (2 | 3, _) => {
            push(run, End::Back, element).unwrap();
            model.push(text);
        }
        (4, _) => {
            let texts = [random_text(seed), random_text(seed), text];
            push_many(run, End::Back, texts.iter().map(|t| Element::from(t.as_slice()))).unwrap();
            model.extend(texts);
        }
        (5, Some(at)) => {
            insert(run, at, element).unwrap();
            model.insert(place, text);
        }
        (6, Some(at)) => {
            replace(run, at, element).unwrap();
            model[place] = text;
        }
        (7, Some(at)) => {
            let count = split_mix(seed) as usize % 4;
            let removed = delete_range(run, at, count);
            assert_eq!(model.drain(place..model.len().min(place + count)).count(), removed);
        }
        (8, _) => {
            assert_eq!(
                pop(run, End::Front, |e| e.to_vec()),
                (!model.is_empty()).then(|| model.remove(0))
            );
            assert_eq!(pop(run, End::Back, |e| e.to_vec()), model.pop());
        }
        (9, Some(at)) => {
            // Cut, and put together the other way round.
            let back = split_off(run, at);
            assert_eq!(check(&back), Ok(model.len() - place));
            append(run, End::Front, Packed::new(&back)).unwrap();
            model.rotate_left(place);
        }
        (10, _) => {
            let needle = Needle::new(&text);
            let before = model.len();
            model.retain(|t| *t != text);
            assert_eq!(retain(run, |e| !e.matches(&needle)), before - model.len());
        }
        (_, Some(at)) if model.len() > 40 => {
            let removed = delete_range(run, at, usize::MAX);
            assert_eq!(model.drain(place..).count(), removed);
        }
        _ => {}
    }
}

fn compare_reads(packed: Packed<'_>, model: &[Vec<u8>], seed: &mut u64) {
    let len = model.len() as i64;
    let index = (split_mix(seed) % (2 * model.len() as u64 + 3)) as i64 - len - 1;
    let expected = if index < 0 { index + len } else { index };
    let expected = usize::try_from(expected).ok().and_then(|n| model.get(n));
    assert_eq!(packed.get(index).map(Element::to_vec).as_ref(), expected, "{index}");
    let Some(at) = packed.seek(index) else { return };
    let n = usize::try_from(if index < 0 { index + len } else { index }).unwrap();
    assert_eq!(packed.next(at), packed.seek(n as i64 + 1));
    assert_eq!(packed.prev(at), n.checked_sub(1).and_then(|n| packed.seek(n as i64)));
    assert!(packed.iter_from(at).map(Element::to_vec).eq(model[n..].iter().cloned()));
    assert!(packed.iter_to(at).map(Element::to_vec).eq(model[..=n].iter().cloned()));
    let text = random_text(seed);
    let found = packed.find(at, &Needle::new(&text), 0).and_then(|at| packed.at(at));
    assert_eq!(found.map(Element::to_vec), model[n..].iter().find(|t| **t == text).cloned());
}

#[test]
fn corrupt_bytes_are_told_and_read_without_harm() {
    let mut seed = 1;
    let mut passed = 0;
    for round in 0..20_000 {
        let mut bytes = match round % 4 {
            0 => (0..split_mix(&mut seed) % 40).map(|_| split_mix(&mut seed) as u8).collect(),
            _ => of(&(0..split_mix(&mut seed) % 8)
                .map(|_| random_text(&mut seed))
                .filter(|text| text.len() < 200)
                .collect::<Vec<_>>()),
        };
        for _ in 0..split_mix(&mut seed) % 4 {
            match split_mix(&mut seed) % 3 {
                _ if bytes.is_empty() => {}
                0 => bytes.truncate(split_mix(&mut seed) as usize % bytes.len()),
                _ => {
                    let at = split_mix(&mut seed) as usize % bytes.len();
                    bytes[at] = split_mix(&mut seed) as u8;
                }
            }
        }
        // A total that is right lets more of them reach the entries.
        if round % 2 == 0 && bytes.len() > 4 {
            let total = bytes.len() as u32;
            bytes[..4].copy_from_slice(&total.to_le_bytes());
        }
        read_everything(&bytes);
        let edits: Vec<u8> = (0..8).map(|_| (split_mix(&mut seed) % 0xA0) as u8).collect();
        check_hostile(&[&[edits.len() as u8], &edits[..], &bytes].concat());
        passed += usize::from(check(&bytes).is_ok());
    }
    assert!((1_000..19_000).contains(&passed), "{passed} passed the check");
}

#[test]
fn the_check_tells_every_kind_of_damage() {
    let sound = of(&["one", "2", "three hundred", "70000"]);
    assert_eq!(check(&sound), Ok(4));
    let damaged = |at: usize, byte: u8| {
        let mut bytes = sound.clone();
        bytes[at] = byte;
        check(&bytes)
    };
    let last = sound.len() - 1;
    for (what, result) in [
        ("empty", check(&[])),
        ("cut off", check(&sound[..last])),
        ("longer than it says", check(&[&sound[..], &[END_MARK]].concat())),
        ("total", damaged(0, sound[0] + 1)),
        ("count", damaged(4, 3)),
        ("length", damaged(6, 0x84)),
        ("back length", damaged(10, 5)),
        ("unknown encoding", damaged(6, 0xF5)),
        ("end mark within", damaged(11, END_MARK)),
        ("no end mark", damaged(last, 0)),
    ] {
        assert_eq!(result, Err(Corrupt), "{what}");
    }
}

/// Announces four gibibytes without having them.
struct Pretended;

impl Buffer for Pretended {
    fn bytes(&self) -> &[u8] {
        &[7, 0, 0, 0, 0, 0, END_MARK]
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        unreachable!("nothing is written")
    }

    fn splice(&mut self, _: usize, _: usize, _: usize) -> &mut [u8] {
        unreachable!("nothing is moved")
    }
}

#[test]
fn a_run_does_not_outgrow_its_header() {
    let element = [b'x'; 1 << 16];
    let many = std::iter::repeat_n(Element::Bytes(&element), 1 << 16);
    assert_eq!(push_many(&mut Pretended, End::Back, many), Err(Full));
}
