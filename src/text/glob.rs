//! Glob patterns as in KEYS, SCAN MATCH, CONFIG GET and PSUBSCRIBE.
//!
//! Two matchers give the same answer. The first walks the pattern with one point to return to (the
//! last `*`), allocates nothing and is what ordinary patterns use. Its cost is the product of both
//! lengths at worst, so it works within a budget; a pattern that uses the budget up is hostile, and
//! the second matcher, which advances all candidates of a segment at once in the bits of words
//! (Shift-And: Baeza-Yates and Gonnet, 1992), decides from the beginning.

/// Tells whether `pattern` matches the whole of `text`.
///
/// `*` is any run of bytes, `?` any byte, `[a-z]` a set, `[^x]` its complement, `\` takes the next
/// byte literally. An unterminated set ends with the pattern. `ignore_case` folds ASCII letters.
///
/// As in Redis, the empty text is matched by the empty pattern only, not by `*`: the commands that
/// list everything for `*` (KEYS, SCAN) test for that pattern before they ask for each key.
pub fn matches(pattern: &[u8], text: &[u8], ignore_case: bool) -> bool {
    if text.is_empty() {
        return pattern.is_empty();
    }
    let budget = 16 * (pattern.len() + text.len()) + 4096;
    backtrack(pattern, text, ignore_case, budget)
        .unwrap_or_else(|| bit_parallel(pattern, text, ignore_case))
}

/// `None` when the budget (bytes of pattern looked at) is used up before the answer is known.
fn backtrack(pattern: &[u8], text: &[u8], ignore_case: bool, mut budget: usize) -> Option<bool> {
    let (mut p, mut t) = (0, 0);
    // Where to go on when a byte does not fit: after the last star, one byte further in the text.
    let mut resume: Option<(usize, usize)> = None;
    loop {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            if p == pattern.len() {
                return Some(true);
            }
            resume = Some((p, t));
            budget = budget.checked_sub(1)?;
            continue;
        }
        if t == text.len() {
            // A later start for the last star leaves even less text: no use going back.
            return Some(p == pattern.len());
        }
        if p < pattern.len() {
            let (hit, next) = match_token(pattern, p, text[t], ignore_case);
            budget = budget.checked_sub(next - p)?;
            if hit {
                (p, t) = (next, t + 1);
                continue;
            }
        }
        let Some((after_star, start)) = resume else { return Some(false) };
        (p, t) = (after_star, start + 1);
        resume = Some((p, t));
        budget = budget.checked_sub(1)?;
    }
}

/// Matches one token other than `*`, which starts at `at`, against a byte; also gives where the
/// next token starts.
fn match_token(pattern: &[u8], at: usize, byte: u8, ignore_case: bool) -> (bool, usize) {
    match pattern[at] {
        b'?' => (true, at + 1),
        b'[' => match_set(pattern, at + 1, byte, ignore_case),
        b'\\' if at + 1 < pattern.len() => (same(pattern[at + 1], byte, ignore_case), at + 2),
        literal => (same(literal, byte, ignore_case), at + 1),
    }
}

fn match_set(pattern: &[u8], mut at: usize, byte: u8, ignore_case: bool) -> (bool, usize) {
    let negated = pattern.get(at) == Some(&b'^');
    if negated {
        at += 1;
    }
    let mut hit = false;
    while at < pattern.len() {
        let rest = &pattern[at..];
        if rest[0] == b'\\' && rest.len() >= 2 {
            // Redis compares an escaped member exactly, even where case is ignored.
            hit |= rest[1] == byte;
            at += 2;
        } else if rest[0] == b']' {
            at += 1;
            break;
        } else if rest.len() >= 3 && rest[1] == b'-' {
            let (low, high) = (rest[0].min(rest[2]), rest[0].max(rest[2]));
            let fold = |b: u8| if ignore_case { b.to_ascii_lowercase() } else { b };
            hit |= (fold(low)..=fold(high)).contains(&fold(byte));
            at += 3;
        } else {
            hit |= same(rest[0], byte, ignore_case);
            at += 1;
        }
    }
    (hit != negated, at)
}

fn same(a: u8, b: u8, ignore_case: bool) -> bool {
    a == b || (ignore_case && a.eq_ignore_ascii_case(&b))
}

/// The tokens between two stars, as the set of bytes that each accepts.
struct Segment {
    sets: Vec<ByteSet>,
}

/// One bit per byte value.
type ByteSet = [u64; 4];

fn has(set: &ByteSet, byte: u8) -> bool {
    set[usize::from(byte >> 6)] >> (byte & 63) & 1 == 1
}

fn bit_parallel(pattern: &[u8], text: &[u8], ignore_case: bool) -> bool {
    let segments = split_segments(pattern, ignore_case);
    let (Some(first), Some(last)) = (segments.first(), segments.last()) else {
        return text.is_empty();
    };
    if segments.len() == 1 {
        return first.sets.len() == text.len() && first.fits(text);
    }
    // The first segment is bound to the beginning and the last one to the end; each of the others
    // takes the leftmost place, which leaves the most for those after it.
    let (head, tail) = (first.sets.len(), last.sets.len());
    if head + tail > text.len() {
        return false;
    }
    let (body, end) = text.split_at(text.len() - tail);
    if !first.fits(&body[..head]) || !last.fits(end) {
        return false;
    }
    let mut rest = &body[head..];
    for segment in &segments[1..segments.len() - 1] {
        match segment.find_end(rest) {
            Some(end) => rest = &rest[end..],
            None => return false,
        }
    }
    true
}

/// Splits at stars: a pattern with n of them has n + 1 segments, which may be empty.
fn split_segments(pattern: &[u8], ignore_case: bool) -> Vec<Segment> {
    let mut segments = vec![Segment { sets: Vec::new() }];
    let mut at = 0;
    while at < pattern.len() {
        if pattern[at] == b'*' {
            segments.push(Segment { sets: Vec::new() });
            at += 1;
            continue;
        }
        let (set, next) = token_set(pattern, at, ignore_case);
        if let Some(segment) = segments.last_mut() {
            segment.sets.push(set);
        }
        at = next;
    }
    segments
}

/// All the bytes that a token accepts, and where the next token starts.
fn token_set(pattern: &[u8], at: usize, ignore_case: bool) -> (ByteSet, usize) {
    let mut set = [0; 4];
    let next = match pattern[at] {
        b'?' => {
            set = [u64::MAX; 4];
            at + 1
        }
        b'[' => set_of_members(pattern, at + 1, ignore_case, &mut set),
        b'\\' if at + 1 < pattern.len() => {
            add(&mut set, pattern[at + 1], ignore_case);
            at + 2
        }
        literal => {
            add(&mut set, literal, ignore_case);
            at + 1
        }
    };
    (set, next)
}

/// As [`match_set`], for all bytes at once.
fn set_of_members(pattern: &[u8], mut at: usize, ignore_case: bool, set: &mut ByteSet) -> usize {
    let negated = pattern.get(at) == Some(&b'^');
    if negated {
        at += 1;
    }
    while at < pattern.len() {
        let rest = &pattern[at..];
        if rest[0] == b'\\' && rest.len() >= 2 {
            add(set, rest[1], false);
            at += 2;
        } else if rest[0] == b']' {
            at += 1;
            break;
        } else if rest.len() >= 3 && rest[1] == b'-' {
            let (low, high) = (rest[0].min(rest[2]), rest[0].max(rest[2]));
            let fold = |b: u8| if ignore_case { b.to_ascii_lowercase() } else { b };
            (fold(low)..=fold(high))
                .filter(|b| fold(*b) == *b)
                .for_each(|b| add(set, b, ignore_case));
            at += 3;
        } else {
            add(set, rest[0], ignore_case);
            at += 1;
        }
    }
    if negated {
        set.iter_mut().for_each(|word| *word = !*word);
    }
    at
}

fn add(set: &mut ByteSet, byte: u8, ignore_case: bool) {
    let mut one = |byte: u8| set[usize::from(byte >> 6)] |= 1 << (byte & 63);
    one(byte);
    if ignore_case {
        one(byte.to_ascii_lowercase());
        one(byte.to_ascii_uppercase());
    }
}

impl Segment {
    /// Whether the segment matches at the very beginning of `text`, which is at least as long.
    fn fits(&self, text: &[u8]) -> bool {
        self.sets.iter().zip(text).all(|(set, &byte)| has(set, byte))
    }

    /// Where the leftmost occurrence in `text` ends.
    fn find_end(&self, text: &[u8]) -> Option<usize> {
        let len = self.sets.len();
        let starts = text.len().checked_sub(len)?;
        if len == 0 {
            return Some(0);
        }
        let words = len.div_ceil(64);
        let accepts = self.accept_masks(text, words);
        // Bit i of `state`: the last i + 1 bytes fit the first i + 1 sets.
        let (mut state, mut next) = (vec![0_u64; words], vec![0_u64; words]);
        let accepting = 1 << ((len - 1) % 64);
        for (at, &byte) in text.iter().enumerate() {
            let Some(accept) = &accepts[usize::from(byte)] else { continue };
            // Candidates that began after `starts` cannot end within the text, and none can be
            // longer than what has been read: only the words between have anything to say.
            let low = at.saturating_sub(starts) / 64;
            let high = at.min(len - 1) / 64;
            advance(
                &state[low..=high],
                &mut next[low..=high],
                &accept[low..=high],
                u64::from(low == 0),
            );
            std::mem::swap(&mut state, &mut next);
            if high + 1 == words && state[words - 1] & accepting != 0 {
                return Some(at + 1);
            }
        }
        None
    }

    /// For each byte value that occurs in `text`, the positions of the segment that accept it.
    fn accept_masks(&self, text: &[u8], words: usize) -> Vec<Option<Vec<u64>>> {
        let mut occurs = [false; 256];
        text.iter().for_each(|&byte| occurs[usize::from(byte)] = true);
        (0..=u8::MAX)
            .map(|byte| {
                occurs[usize::from(byte)].then(|| {
                    let mut mask = vec![0; words];
                    for (i, set) in self.sets.iter().enumerate() {
                        mask[i / 64] |= u64::from(has(set, byte)) << (i % 64);
                    }
                    mask
                })
            })
            .collect()
    }
}

/// Shifts `state` up by one bit, `carry` coming in, and keeps what `accept` has. No word depends on
/// the one before it in `next`, so that the compiler can use vectors.
fn advance(state: &[u64], next: &mut [u64], accept: &[u64], carry: u64) {
    next[0] = (state[0] << 1 | carry) & accept[0];
    let words = next.len() - 1;
    let (below, at) = (&state[..words], &state[1..]);
    for (((next, below), at), accept) in next[1..].iter_mut().zip(below).zip(at).zip(&accept[1..]) {
        *next = (at << 1 | below >> 63) & accept;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Redis's rules written down as a recursion, exponential but obviously right.
    fn model(pattern: &[u8], text: &[u8], ignore_case: bool) -> bool {
        match pattern.first() {
            None => text.is_empty(),
            Some(b'*') => {
                (0..=text.len()).any(|skip| model(&pattern[1..], &text[skip..], ignore_case))
            }
            Some(_) if text.is_empty() => false,
            Some(_) => {
                let (hit, next) = match_token(pattern, 0, text[0], ignore_case);
                hit && model(&pattern[next..], &text[1..], ignore_case)
            }
        }
    }

    #[test]
    fn follows_redis() {
        // Each line probed with EVAL and SCAN ... MATCH against redis-server 7.0.
        for (pattern, text, expected) in [
            ("*", "abc", true),
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
            ("h*llo", "heeeello", true),
            ("h[ae]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[^e]llo", "hallo", true),
            ("h[a-c]llo", "hbllo", true),
            ("h[c-a]llo", "hbllo", true),
            (r"h\*llo", "h*llo", true),
            (r"h\*llo", "hello", false),
            (r"h[\]]llo", "h]llo", true),
            ("abc*", "abc", true),
            ("abc**", "abc", true),
            ("*abc", "abc", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("", "", true),
            ("**", "", false),
            ("*", "", false),
            ("", "a", false),
            ("[", "[", false),
            ("[^", "x", true),
            ("[ab", "b", true),
            ("[a-", "-", true),
            ("[a-]x", "a", true),
            ("[a-]", "b", false),
            ("\\", "\\", true),
            ("[\\", "\\", true),
            ("*a", "aaaaaaaaab", false),
        ] {
            let answer = matches(pattern.as_bytes(), text.as_bytes(), false);
            assert_eq!(answer, expected, "{pattern} against {text}");
        }
    }

    #[test]
    fn ignores_case_where_asked() {
        assert!(matches(b"MaxMem*", b"maxmemory", true));
        assert!(!matches(b"MaxMem*", b"maxmemory", false));
        assert!(matches(b"[A-C]x", b"bX", true));
        assert!(!matches(b"[\\B]", b"b", true), "an escaped member of a set is exact");
    }

    #[test]
    fn both_matchers_agree_with_the_model() {
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = move |below: u64| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed % below
        };
        let mut hits = 0;
        for _ in 0..60_000 {
            let ignore_case = random(2) == 0;
            let pattern: Vec<u8> =
                (0..random(9)).map(|_| b"aab*?[]^-\\B*?a"[random(14) as usize]).collect();
            let text: Vec<u8> =
                (0..1 + random(9)).map(|_| b"aaab-]B"[random(7) as usize]).collect();
            let expected = model(&pattern, &text, ignore_case);
            hits += u32::from(expected);
            let context = format!("{:?} {:?}", pattern.escape_ascii(), text.escape_ascii());
            assert_eq!(
                backtrack(&pattern, &text, ignore_case, 1 << 20),
                Some(expected),
                "{context}"
            );
            assert_eq!(bit_parallel(&pattern, &text, ignore_case), expected, "{context}");
        }
        assert!(hits > 2_000, "the random patterns must match often enough to mean something");
    }

    #[test]
    fn long_segments_cross_words() {
        let text: Vec<u8> = (0..1000_u32).map(|i| b'a' + (i * i % 7) as u8).collect();
        for start in [0, 1, 63, 64, 65, 500] {
            for len in [1, 63, 64, 65, 128, 200, 400] {
                let mut pattern = b"*".to_vec();
                pattern.extend_from_slice(&text[start..start + len]);
                pattern.push(b'*');
                assert!(bit_parallel(&pattern, &text, false));
                let end = pattern.len() - 2;
                pattern[end] = b'z';
                assert!(!bit_parallel(&pattern, &text, false));
            }
        }
    }

    /// The patterns that cost Redis and its forks seconds (CVE-2022-36021, CVE-2024-31228), and
    /// those that would cost a matcher with one return point its square.
    #[test]
    fn hostile_patterns_are_cheap() {
        let size = 64 * 1024;
        let half_then = |last: u8| {
            let mut pattern = b"*".to_vec();
            pattern.extend(std::iter::repeat_n(b'a', size / 2));
            pattern.extend([last, b'*']);
            pattern
        };
        let mut wide_set = b"*[".to_vec();
        wide_set.extend(std::iter::repeat_n(b'a', size));
        wide_set.extend(b"]b");
        let patterns = [
            b"a*".repeat(size / 2),
            b"*?".repeat(size / 2),
            [b"*a".repeat(size / 2 - 1), b"*b".to_vec()].concat(),
            half_then(b'b'),
            [half_then(b'?'), half_then(b'b')].concat(),
            wide_set,
            b"[a".repeat(size / 2),
            b"*[^".repeat(size / 3),
        ];
        let text = vec![b'a'; size];
        // 10 ms is for optimised builds. Unoptimised, or with a text as long and as hostile as the
        // pattern, the cost is still bounded: squares and exponentials would be minutes.
        let factor = if cfg!(debug_assertions) { 100 } else { 1 };
        for (i, pattern) in patterns.iter().enumerate() {
            for (text, limit_ms) in [(&text[..4096], 10 * factor), (&text[..], 40 * factor)] {
                let quickest_ms = (0..3)
                    .map(|_| {
                        let began = std::time::Instant::now();
                        std::hint::black_box(matches(pattern, text, false));
                        began.elapsed().as_millis()
                    })
                    .min();
                assert!(quickest_ms < Some(limit_ms), "pattern {i}: {quickest_ms:?} ms");
            }
        }
    }
}
