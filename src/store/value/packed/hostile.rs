//! What every input must hold to, for the fuzzer and the tests.

use super::{
    Cursor, EMPTY_BYTES, Element, End, HEADER_BYTES, Needle, Packed, append, check, delete_range,
    insert, new, pop, push, push_many, replace, retain, split_off,
};

/// Takes bytes for a run, reads them in every way and edits them, and panics if something leaves the
/// run or, where [`check()`] takes them for sound, is not as it would be in a list of texts.
///
/// The first byte of `data` says how many bytes behind it choose the edits (and by its highest bit
/// that the header's total is made right, which lets more of them pass the check); the rest is the
/// run.
pub fn check_hostile(data: &[u8]) {
    let Some((&first, rest)) = data.split_first() else { return };
    let (edits, run) = rest.split_at(usize::from(first & 0x1f).min(rest.len()));
    let mut run = run.to_vec();
    if first & 0x80 != 0
        && let Ok(total) = u32::try_from(run.len())
        && let Some(header) = run.first_chunk_mut()
    {
        *header = total.to_le_bytes();
    }
    read_everything(&run);
    // Edits need a header and an end mark to stand between.
    if run.len() < EMPTY_BYTES {
        return;
    }
    let mut model = check(&run).is_ok().then(|| texts(&run));
    for edit in edits {
        apply(*edit, &mut run, model.as_mut());
        read_everything(&run);
        if let Some(model) = &model {
            assert_eq!(check(&run), Ok(model.len()), "edit {edit:#x} leaves no sound run");
            assert_eq!(texts(&run), *model, "edit {edit:#x}");
        }
    }
}

/// Every reader ends without a panic, whatever the bytes are, and shows nothing from outside of
/// them; what passes the check reads the same both ways and when it is written anew.
pub(super) fn read_everything(bytes: &[u8]) {
    let packed = Packed::new(bytes);
    let forward: Vec<_> = packed.iter().collect();
    let mut backward: Vec<_> = packed.iter().rev().collect();
    let bounds = bytes.as_ptr_range();
    for element in forward.iter().chain(&backward) {
        if let Element::Bytes(text) = element {
            let text = text.as_ptr_range();
            assert!(bounds.start <= text.start && text.end <= bounds.end, "outside of the run");
        }
    }
    let len = packed.len() as i64;
    for index in [0, 1, 5, len / 2, len - 1, len, -1, -2, -len, i64::MIN, i64::MAX] {
        if let Some(at) = packed.seek(index) {
            let _ = (packed.next(at), packed.prev(at), packed.at(at), packed.iter_to(at).count());
            let _ = packed.iter_from(at).count();
        }
    }
    for (needle, skip) in [(&b"no such element"[..], 1), (b"1", 0)] {
        let found = packed.find(Cursor(HEADER_BYTES), &Needle::new(needle), skip);
        assert!(found.is_none_or(|at| packed.at(at).is_some()));
    }
    let _ = (packed.first(), packed.last());
    if let Ok(count) = check(bytes) {
        backward.reverse();
        assert_eq!(forward, backward);
        assert_eq!((forward.len(), packed.len()), (count, count));
        let mut again = new().to_vec();
        assert_eq!(push_many(&mut again, End::Back, forward.into_iter()), Ok(()));
        assert_eq!(check(&again), Ok(count));
        assert_eq!(texts(&again), texts(bytes));
    }
}

/// Edits a run as this byte says, and the texts that it has with it.
fn apply(edit: u8, run: &mut Vec<u8>, mut model: Option<&mut Vec<Vec<u8>>>) {
    const TEXTS: [&[u8]; 4] = [b"", b"1", b"-70000", &[b'x'; 70]];
    let text = TEXTS[usize::from(edit & 3)];
    let element = Element::from(text);
    let place = usize::from(edit >> 2 & 3);
    let cursor = Packed::new(run).seek(place as i64);
    let fits = match (edit >> 4, cursor) {
        (0, _) => {
            model.iter_mut().for_each(|texts| texts.insert(0, text.to_vec()));
            push(run, End::Front, element)
        }
        (1, _) => {
            model.iter_mut().for_each(|texts| texts.push(text.to_vec()));
            push(run, End::Back, element)
        }
        (2, _) => {
            model.iter_mut().for_each(|texts| texts.extend(TEXTS.map(<[u8]>::to_vec)));
            push_many(run, End::Back, TEXTS.into_iter().map(Element::from))
        }
        (3, Some(at)) => {
            model.iter_mut().for_each(|texts| texts.insert(place, text.to_vec()));
            insert(run, at, element)
        }
        (4, Some(at)) => {
            model.iter_mut().for_each(|texts| texts[place] = text.to_vec());
            replace(run, at, element)
        }
        (5, Some(at)) => {
            let removed = delete_range(run, at, usize::from(edit & 3));
            model.iter_mut().for_each(|texts| drop(texts.drain(place..place + removed)));
            Ok(())
        }
        (6, _) => {
            let popped = pop(run, End::Front, |element| element.to_vec());
            assert!(
                model.is_none_or(|texts| popped == (!texts.is_empty()).then(|| texts.remove(0)))
            );
            Ok(())
        }
        (7, _) => {
            let popped = pop(run, End::Back, |element| element.to_vec());
            assert!(model.is_none_or(|texts| popped == texts.pop()));
            Ok(())
        }
        (8, Some(at)) => {
            // Cut, and put together the other way round.
            let back = split_off(run, at);
            read_everything(&back);
            model.iter_mut().for_each(|texts| texts.rotate_left(place));
            append(run, End::Front, Packed::new(&back))
        }
        (9, _) => {
            let needle = Needle::new(text);
            model.iter_mut().for_each(|texts| texts.retain(|other| other != text));
            retain(run, |element| !element.matches(&needle));
            Ok(())
        }
        _ => Ok(()),
    };
    assert_eq!(fits, Ok(()), "far below what a run may be");
}

fn texts(run: &[u8]) -> Vec<Vec<u8>> {
    Packed::new(run).iter().map(Element::to_vec).collect()
}
