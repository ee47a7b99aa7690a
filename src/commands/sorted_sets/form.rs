//! A sorted set at a key, in whichever form it has: one packed run in its entry (`listpack`), each
//! member with its score behind it, or a tree in an object (`skiplist`). A run becomes a tree where
//! Redis's does, and never a run again.

use std::cmp::Ordering;

use crate::commands::Context;
use crate::config::Config;
use crate::store::value::packed::{self, Cursor, Element, Iter, Needle, Packed};
use crate::store::value::sorted_set;
use crate::store::{
    Buffer, Collection, CollectionMut, CollectionRef, Encoding, End, EntryMut, Item, Kind,
    SortedSet, VacantSlot, WrongType,
};
use crate::text::double::{self, DoubleText};
use crate::text::number::{Digits, parse_f64};

/// A sorted set to read.
pub type SortedSetRef<'a> = CollectionRef<'a, SortedSet>;

/// No packed run gets longer: Redis's LISTPACK_MAX_SAFETY_LIMIT.
const RUN_BYTES_MAX: usize = 1 << 30;

/// How large a sorted set may be in one run.
#[derive(Clone, Copy, Debug)]
struct Limits {
    entries: usize,
    member_bytes: usize,
}

impl Limits {
    /// Whether a run of so many bytes may get that many entries by a member of that length.
    fn admit(self, bytes: usize, entries: usize, member_len: usize) -> bool {
        entries <= self.entries
            && member_len <= self.member_bytes
            && bytes.saturating_add(member_len) <= RUN_BYTES_MAX
    }
}

/// What a new sorted set is made with.
#[derive(Clone, Copy, Debug)]
pub struct Making {
    limits: Limits,
    /// For the hash of a tree's index.
    seed: u64,
}

impl Making {
    /// By `zset-max-listpack-entries` and `zset-max-listpack-value`.
    pub fn new(context: &mut Context<'_>) -> Making {
        Making::with(context.config, context.shard.next_random())
    }

    pub fn with(config: &Config, seed: u64) -> Making {
        let limits = Limits {
            entries: usize::try_from(config.zset_max_listpack_entries).unwrap_or(0),
            member_bytes: usize::try_from(config.zset_max_listpack_value).unwrap_or(usize::MAX),
        };
        Making { limits, seed }
    }

    /// An empty tree.
    pub fn tree(self) -> SortedSet {
        SortedSet::new(self.seed)
    }
}

/// The score that an element of a run is. What came from elsewhere and is no number counts as 0.
fn score_of(element: Element<'_>) -> f64 {
    match element {
        Element::Integer(integer) => integer as f64,
        Element::Bytes(text) => parse_f64(text).unwrap_or(0.0),
    }
}

/// A score as an element of a run.
fn element_of<'t>(score: f64, text: &'t mut DoubleText) -> Element<'t> {
    match double::integer(score) {
        Some(integer) => Element::Integer(integer),
        None => {
            *text = DoubleText::new(score);
            Element::Bytes(text)
        }
    }
}

fn next_of_run<'a>(elements: &mut Iter<'a>) -> Option<(Element<'a>, f64)> {
    let member = elements.next()?;
    Some((member, score_of(elements.next()?)))
}

/// The entries of a run from front to back.
fn forward(mut elements: Iter<'_>) -> impl Iterator<Item = (Element<'_>, f64)> {
    std::iter::from_fn(move || next_of_run(&mut elements))
}

/// The entries of a run from back to front.
fn backward(mut elements: Iter<'_>) -> impl Iterator<Item = (Element<'_>, f64)> {
    std::iter::from_fn(move || {
        let score = score_of(elements.next_back()?);
        Some((elements.next_back()?, score))
    })
}

fn entries(run: Packed<'_>) -> impl Iterator<Item = (Element<'_>, f64)> {
    forward(run.iter())
}

pub fn len(set: SortedSetRef<'_>) -> usize {
    match set {
        CollectionRef::Packed(run) => Packed::new(run).len() / 2,
        CollectionRef::Object(set) => set.len(),
    }
}

/// Where a member of a run is, and its score.
fn find(run: Packed<'_>, member: &[u8]) -> Option<(Cursor, f64)> {
    let at = run.find(run.first()?, &Needle::new(member), 1)?;
    Some((at, score_of(run.at(run.next(at)?)?)))
}

#[inline]
pub fn score(set: SortedSetRef<'_>, member: &[u8]) -> Option<f64> {
    match set {
        CollectionRef::Packed(run) => find(Packed::new(run), member).map(|(_, score)| score),
        CollectionRef::Object(set) => set.score(member),
    }
}

/// How many entries are ahead of a member, and its score.
pub fn rank(set: SortedSetRef<'_>, member: &[u8]) -> Option<(usize, f64)> {
    match set {
        CollectionRef::Packed(run) => {
            let needle = Needle::new(member);
            let mut ranked = entries(Packed::new(run)).enumerate();
            let found = ranked.find(|(_, (member, _))| member.matches(&needle));
            found.map(|(rank, (_, score))| (rank, score))
        }
        CollectionRef::Object(set) => set.rank(member),
    }
}

/// How many entries are ahead of the first whose score is not "before".
pub fn count_scores(set: SortedSetRef<'_>, is_before: impl Fn(f64) -> bool) -> usize {
    match set {
        CollectionRef::Packed(run) => {
            entries(Packed::new(run)).take_while(|(_, score)| is_before(*score)).count()
        }
        CollectionRef::Object(set) => set.count_scores(is_before),
    }
}

/// Of a set with one score for all: which entries have members that are not "before" and not
/// "behind", as the index of the first and how many there are. If the scores are several there is no
/// such range; what Redis finds in a packed run from that end is found here too.
pub fn span_of_members(
    set: SortedSetRef<'_>,
    from: End,
    is_before: impl Fn(&[u8]) -> bool,
    is_behind: impl Fn(&[u8]) -> bool,
) -> (usize, usize) {
    let test =
        |member: Element<'_>, is: &dyn Fn(&[u8]) -> bool| is(member.text(&mut Digits::default()));
    match set {
        CollectionRef::Object(set) => {
            let first = set.count_members(is_before);
            (first, set.count_members(|member| !is_behind(member)).saturating_sub(first))
        }
        CollectionRef::Packed(run) => {
            let run = Packed::new(run);
            let mut ends = (entries(run), backward(run.iter()));
            if ends.0.next().is_none_or(|(first, _)| test(first, &is_behind))
                || ends.1.next().is_none_or(|(last, _)| test(last, &is_before))
            {
                return (0, 0);
            }
            let span = |members: &mut dyn Iterator<Item = (Element<'_>, f64)>,
                        outside: &dyn Fn(&[u8]) -> bool,
                        end: &dyn Fn(&[u8]) -> bool| {
                let mut skipped = 0;
                let mut count = 0;
                for (member, _) in members {
                    if count == 0 && test(member, outside) {
                        skipped += 1;
                    } else if test(member, end) {
                        break;
                    } else {
                        count += 1;
                    }
                }
                (skipped, count)
            };
            match from {
                End::Front => span(&mut entries(run), &is_before, &is_behind),
                End::Back => {
                    let (skipped, count) = span(&mut backward(run.iter()), &is_behind, &is_before);
                    (run.len() / 2 - skipped - count, count)
                }
            }
        }
    }
}

/// Shows up to `count` entries from an index on, towards an end.
#[inline]
pub fn visit<'a>(
    set: SortedSetRef<'a>,
    index: usize,
    count: usize,
    to: End,
    mut show: impl FnMut(Element<'a>, f64),
) {
    match set {
        CollectionRef::Packed(run) => {
            let run = Packed::new(run);
            let elements = match to {
                End::Back => 2 * index,
                End::Front => 2 * index + 1,
            };
            let Some(at) = i64::try_from(elements).ok().and_then(|at| run.seek(at)) else { return };
            let show = |(member, score)| show(member, score);
            match to {
                End::Back => forward(run.iter_from(at)).take(count).for_each(show),
                End::Front => backward(run.iter_to(at)).take(count).for_each(show),
            }
        }
        CollectionRef::Object(set) => {
            for entry in set.iter_from(index, to).take(count) {
                show(Element::Bytes(entry.member), entry.score);
            }
        }
    }
}

/// The entries of a sorted set in order.
pub enum Entries<'a> {
    Run(Iter<'a>),
    Tree(sorted_set::Iter<'a>),
}

pub fn iter(set: SortedSetRef<'_>) -> Entries<'_> {
    match set {
        CollectionRef::Packed(run) => Entries::Run(Packed::new(run).iter()),
        CollectionRef::Object(set) => Entries::Tree(set.iter()),
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = (Element<'a>, f64);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Entries::Run(elements) => next_of_run(elements),
            Entries::Tree(entries) => {
                entries.next().map(|entry| (Element::Bytes(entry.member), entry.score))
            }
        }
    }
}

/// Where members get scores.
pub trait Scores {
    fn score(&self, member: &[u8]) -> Option<f64>;

    /// Gives a member this score, which is not NaN.
    fn set_score(&mut self, member: &[u8], score: f64);
}

/// Where an entry belongs in a run: in front of that element, or at the back.
fn place(run: Packed<'_>, member: &[u8], score: f64) -> Option<Cursor> {
    let mut elements = run.iter();
    loop {
        let at = elements.cursor();
        let (other, other_score) = (elements.next()?, score_of(elements.next()?));
        let order = match other_score.partial_cmp(&score) {
            Some(Ordering::Equal) | None => other.text(&mut Digits::default()).cmp(member),
            Some(order) => order,
        };
        if order.is_gt() {
            return Some(at);
        }
    }
}

/// Gives a member of a run this score; it was found there, or is added. No run is so long that it
/// cannot be.
fn set_score_in_run(
    run: &mut impl Buffer,
    found: Option<(Cursor, f64)>,
    member: &[u8],
    score: f64,
) {
    if let Some((at, old)) = found {
        if old == score {
            return;
        }
        packed::delete_range(run, at, 2);
    }
    let mut text = DoubleText::new(0.0);
    let entry = [Element::from(member), element_of(score, &mut text)];
    let added = match place(Packed::new(run.bytes()), member, score) {
        Some(at) => packed::insert_many(run, at, entry.into_iter()),
        None => packed::push_many(run, End::Back, entry.into_iter()),
    };
    debug_assert!(added.is_ok(), "a run has at most a gibibyte");
}

/// A tree of the entries of a run.
fn tree_of(run: &[u8], making: Making) -> SortedSet {
    let mut set = making.tree();
    for (member, score) in entries(Packed::new(run)) {
        set.insert(member.text(&mut Digits::default()), score);
    }
    set
}

/// A sorted set outside of any entry.
pub enum NewSortedSet {
    Run(Vec<u8>, Making),
    Tree(SortedSet),
}

impl NewSortedSet {
    /// For so many members, the longest of which has that many bytes.
    pub fn new(len: usize, member_len: usize, making: Making) -> NewSortedSet {
        match making.limits.admit(packed::EMPTY_BYTES, len, member_len) {
            true => NewSortedSet::Run(packed::new().to_vec(), making),
            false => NewSortedSet::Tree(making.tree()),
        }
    }

    /// In the form for what has turned out to be in a tree.
    pub fn of_tree(set: SortedSet, making: Making) -> NewSortedSet {
        let longest = set.iter().take(making.limits.entries.saturating_add(1));
        let longest = longest.map(|entry| entry.member.len()).max().unwrap_or(0);
        let mut new = NewSortedSet::new(set.len(), longest, making);
        let NewSortedSet::Run(run, _) = &mut new else { return NewSortedSet::Tree(set) };
        for entry in set.iter() {
            let mut text = DoubleText::new(0.0);
            let entry = [Element::from(entry.member), element_of(entry.score, &mut text)];
            let added = packed::push_many(run, End::Back, entry.into_iter());
            debug_assert!(added.is_ok(), "a run has at most a gibibyte");
        }
        new
    }

    pub fn len(&self) -> usize {
        match self {
            NewSortedSet::Run(run, _) => Packed::new(run).len() / 2,
            NewSortedSet::Tree(set) => set.len(),
        }
    }

    pub fn insert_into(self, slot: VacantSlot<'_>) {
        match self {
            NewSortedSet::Run(run, _) => {
                slot.insert_packed(Kind::SortedSet, Encoding::Listpack, &run);
            }
            NewSortedSet::Tree(set) => {
                slot.insert_object(set.into_object());
            }
        }
    }

    pub fn into_item(self, key: &[u8]) -> Item {
        match self {
            NewSortedSet::Run(run, _) => {
                Item::packed(key, Kind::SortedSet, Encoding::Listpack, run.into_boxed_slice())
            }
            NewSortedSet::Tree(set) => Item::object(key, set.into_object()),
        }
    }
}

impl Scores for NewSortedSet {
    fn score(&self, member: &[u8]) -> Option<f64> {
        match self {
            NewSortedSet::Run(run, _) => score(CollectionRef::Packed(run), member),
            NewSortedSet::Tree(set) => set.score(member),
        }
    }

    fn set_score(&mut self, member: &[u8], score: f64) {
        match self {
            NewSortedSet::Run(run, making) => {
                let packed = Packed::new(run);
                let (len, found) = (packed.len() / 2 + 1, find(packed, member));
                if found.is_some() || making.limits.admit(run.len(), len, member.len()) {
                    return set_score_in_run(run, found, member, score);
                }
                *self = NewSortedSet::Tree(tree_of(run, *making));
                self.set_score(member, score);
            }
            NewSortedSet::Tree(set) => {
                set.insert(member, score);
            }
        }
    }
}

/// A sorted set to change. What changes nothing tells nobody who watches the key.
pub struct SortedSetMut<'a> {
    /// Always there, but while it changes.
    form: Option<CollectionMut<'a, SortedSet>>,
    making: Making,
}

impl<'a> SortedSetMut<'a> {
    #[inline]
    pub fn new(entry: EntryMut<'a>, making: Making) -> Result<SortedSetMut<'a>, WrongType> {
        Ok(SortedSetMut { form: Some(entry.into_collection()?), making })
    }

    #[inline]
    pub fn as_ref(&self) -> SortedSetRef<'_> {
        match &self.form {
            Some(CollectionMut::Packed(run)) => CollectionRef::Packed(run.bytes()),
            Some(CollectionMut::Object(object)) => CollectionRef::Object(object.get()),
            None => CollectionRef::Packed(&[]),
        }
    }

    /// Removes members, and the key if none is left; gives how many there were.
    pub fn remove<'m>(mut self, members: impl Iterator<Item = &'m [u8]>) -> usize {
        let mut removed = 0;
        for member in members {
            match &mut self.form {
                Some(CollectionMut::Packed(run)) => {
                    let packed = Packed::new(run.bytes());
                    let Some((at, _)) = find(packed, member) else { continue };
                    removed += 1;
                    if packed.len() == 2 {
                        self.remove_all();
                        break;
                    }
                    packed::delete_range(run, at, 2);
                }
                Some(CollectionMut::Object(object)) => {
                    if object.update_if(|set| set.remove(member)).is_none() {
                        continue;
                    }
                    removed += 1;
                    if object.get().is_empty() {
                        self.remove_all();
                        break;
                    }
                }
                None => break,
            }
        }
        removed
    }

    /// Removes up to `count` entries from an index on, and the key if none is left.
    pub fn remove_range(mut self, index: usize, count: usize) {
        let len = len(self.as_ref());
        let count = count.min(len.saturating_sub(index));
        if count == 0 {
            return;
        }
        if count == len {
            return self.remove_all();
        }
        match &mut self.form {
            Some(CollectionMut::Packed(run)) => {
                let at = i64::try_from(2 * index).ok();
                if let Some(at) = at.and_then(|at| Packed::new(run.bytes()).seek(at)) {
                    packed::delete_range(run, at, 2 * count);
                }
            }
            Some(CollectionMut::Object(object)) => {
                object.update(|set| set.remove_range(index, count));
            }
            None => {}
        }
    }

    fn remove_all(&mut self) {
        match self.form.take() {
            Some(CollectionMut::Packed(run)) => run.remove(),
            Some(CollectionMut::Object(object)) => object.remove(),
            None => {}
        }
    }
}

impl Scores for SortedSetMut<'_> {
    #[inline]
    fn score(&self, member: &[u8]) -> Option<f64> {
        score(self.as_ref(), member)
    }

    fn set_score(&mut self, member: &[u8], score: f64) {
        let limits = self.making.limits;
        let object = match self.form.take() {
            Some(CollectionMut::Packed(mut run)) => {
                let packed = Packed::new(run.bytes());
                let (bytes, len) = (packed.bytes().len(), packed.len() / 2 + 1);
                let found = find(packed, member);
                if found.is_some() || limits.admit(bytes, len, member.len()) {
                    set_score_in_run(&mut run, found, member, score);
                    self.form = Some(CollectionMut::Packed(run));
                    return;
                }
                let mut set = tree_of(run.bytes(), self.making);
                set.insert(member, score);
                run.convert(set)
            }
            Some(CollectionMut::Object(mut object)) => {
                object.update_if(|set| (set.insert(member, score) != Some(score)).then_some(()));
                object
            }
            None => return,
        };
        self.form = Some(CollectionMut::Object(object));
    }
}
