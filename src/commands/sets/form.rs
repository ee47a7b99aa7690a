//! A set at a key, in whichever form it has: integers in order (`intset`), one packed run
//! (`listpack`), or a table in an object (`hashtable`). A form changes into the next where Redis's
//! does, and never back.

use crate::commands::Context;
use crate::commands::sampling::below;
use crate::config::Config;
use crate::store::value::intset::{self, IntSet};
use crate::store::value::packed::{self, Element, Needle, Packed};
use crate::store::{
    Buffer, CollectionMut, CollectionRef, Encoding, End, EntryMut, EntryRef, Item, Kind, Object,
    OwnedCollection, PackedMut, Set, VacantSlot, WrongType,
};
use crate::text::number::Digits;

/// No packed run of a set gets longer: Redis's LISTPACK_MAX_SAFETY_LIMIT.
const RUN_BYTES_MAX: usize = 1 << 30;
/// Nor an intset.
const INTEGERS_MAX: usize = 1 << 30;

/// How large the forms may be that are one run.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    integers: usize,
    packed: usize,
    packed_member_bytes: usize,
}

impl Limits {
    /// `set-max-intset-entries`, `set-max-listpack-entries` and `set-max-listpack-value`.
    pub fn new(config: &Config) -> Limits {
        let entries = |count: i64| usize::try_from(count).unwrap_or(0);
        Limits {
            integers: entries(config.set_max_intset_entries).min(INTEGERS_MAX),
            packed: entries(config.set_max_listpack_entries),
            packed_member_bytes: usize::try_from(config.set_max_listpack_value)
                .unwrap_or(usize::MAX),
        }
    }

    fn may_be_a_run(self, members: usize) -> bool {
        members <= self.integers.max(self.packed)
    }

    /// Whether a run of that encoding may have so many members.
    fn admits(self, encoding: Encoding, members: usize) -> bool {
        match encoding {
            Encoding::IntSet => members <= self.integers,
            _ => members <= self.packed,
        }
    }
}

/// What a new set is made with.
#[derive(Clone, Copy, Debug)]
pub struct Making {
    pub limits: Limits,
    /// For the hash of a table.
    seed: u64,
}

impl Making {
    pub fn new(context: &mut Context<'_>) -> Making {
        Making { limits: Limits::new(context.config), seed: context.shard.random_numbers()() }
    }
}

/// A set to read.
#[derive(Clone, Copy, Debug)]
pub enum SetRef<'a> {
    Integers(IntSet<'a>),
    Packed(Packed<'a>),
    Table(&'a Set),
}

impl<'a> SetRef<'a> {
    #[inline]
    pub fn of_entry(entry: EntryRef<'a>) -> Result<SetRef<'a>, WrongType> {
        Ok(SetRef::new(entry.collection()?, entry.encoding()))
    }

    pub fn of_item(item: &'a Item) -> Result<SetRef<'a>, WrongType> {
        Ok(SetRef::new(item.collection()?, item.encoding()))
    }

    #[inline]
    pub fn new(set: CollectionRef<'a, Set>, encoding: Encoding) -> SetRef<'a> {
        match set {
            CollectionRef::Packed(run) => SetRef::of_run(run, encoding),
            CollectionRef::Object(set) => SetRef::Table(set),
        }
    }

    fn of_run(run: &'a [u8], encoding: Encoding) -> SetRef<'a> {
        match encoding {
            Encoding::IntSet => SetRef::Integers(IntSet::new(run)),
            _ => SetRef::Packed(Packed::new(run)),
        }
    }

    pub fn len(self) -> usize {
        match self {
            SetRef::Integers(set) => set.len(),
            SetRef::Packed(run) => run.len(),
            SetRef::Table(set) => set.len(),
        }
    }

    #[inline]
    pub fn contains(self, member: &Needle<'_>) -> bool {
        match self {
            SetRef::Integers(set) => member.integer().is_some_and(|integer| set.contains(integer)),
            SetRef::Packed(run) => {
                run.first().and_then(|first| run.find(first, member, 0)).is_some()
            }
            SetRef::Table(set) => set.contains(member.bytes()),
        }
    }

    pub fn iter(self) -> impl Iterator<Item = Element<'a>> {
        match self {
            SetRef::Integers(set) => Members::Integers(set.iter().map(Element::Integer)),
            SetRef::Packed(run) => Members::Packed(run.iter()),
            SetRef::Table(set) => Members::Table(set.iter().map(Element::Bytes)),
        }
    }

    /// A member chosen by random numbers, every one as likely as any other; of an empty set none.
    pub fn random(self, mut next_random: impl FnMut() -> u64) -> Option<Element<'a>> {
        match self {
            SetRef::Integers(set) => {
                set.get(below(set.len(), &mut next_random)?).map(Element::Integer)
            }
            SetRef::Packed(run) => {
                let index = below(run.len(), &mut next_random)?;
                run.get(i64::try_from(index).ok()?)
            }
            SetRef::Table(set) => set.random(next_random).map(Element::Bytes),
        }
    }
}

enum Members<I, P, T> {
    Integers(I),
    Packed(P),
    Table(T),
}

impl<'a, I, P, T> Iterator for Members<I, P, T>
where
    I: Iterator<Item = Element<'a>>,
    P: Iterator<Item = Element<'a>>,
    T: Iterator<Item = Element<'a>>,
{
    type Item = Element<'a>;

    #[inline]
    fn next(&mut self) -> Option<Element<'a>> {
        match self {
            Members::Integers(members) => members.next(),
            Members::Packed(members) => members.next(),
            Members::Table(members) => members.next(),
        }
    }
}

/// A run of either encoding that is changed, in an entry or on its own.
trait Run: Buffer {
    fn encoding(&self) -> Encoding;

    fn replace_as(&mut self, encoding: Encoding, bytes: &[u8]);

    fn set(&self) -> SetRef<'_> {
        SetRef::of_run(self.bytes(), self.encoding())
    }
}

impl Run for PackedMut<'_> {
    fn encoding(&self) -> Encoding {
        PackedMut::encoding(self)
    }

    fn replace_as(&mut self, encoding: Encoding, bytes: &[u8]) {
        PackedMut::replace_as(self, encoding, bytes);
    }
}

/// Adds a member; whether it is new. `None` if the run cannot take it.
#[inline]
fn add_to_run(run: &mut impl Run, member: &[u8], limits: Limits) -> Option<bool> {
    let needle = Needle::new(member);
    let set = run.set();
    if set.contains(&needle) {
        return Some(false);
    }
    let (len, bytes) = (set.len(), run.bytes().len());
    match (set, needle.integer()) {
        (SetRef::Integers(_), Some(integer)) => {
            limits.admits(Encoding::IntSet, len + 1).then(|| intset::insert(run, integer))
        }
        (SetRef::Integers(set), None) => {
            let longest = [set.min(), set.max()].into_iter().flatten().map(digits).max();
            let fits = limits.admits(Encoding::Listpack, len + 1)
                && member.len().max(longest.unwrap_or(0)) <= limits.packed_member_bytes;
            if !fits {
                return None;
            }
            let mut packed = packed::new().to_vec();
            let members = set.iter().map(Element::Integer).chain([Element::Bytes(member)]);
            for member in members {
                packed::push(&mut packed, End::Back, member).ok()?;
            }
            run.replace_as(Encoding::Listpack, &packed);
            Some(true)
        }
        _ => {
            let fits = limits.admits(Encoding::Listpack, len + 1)
                && member.len() <= limits.packed_member_bytes
                && bytes + member.len() <= RUN_BYTES_MAX;
            fits.then(|| packed::push(run, End::Back, Element::from(member)).is_ok())
                .filter(|&added| added)
        }
    }
}

fn digits(integer: i64) -> usize {
    Element::Integer(integer).text(&mut Digits::default()).len()
}

/// Removes a member; whether it was there.
fn remove_from_run(run: &mut impl Run, member: &Needle<'_>) -> bool {
    match run.set() {
        SetRef::Integers(_) => member.integer().is_some_and(|integer| intset::remove(run, integer)),
        SetRef::Packed(packed) => {
            let found = packed.first().and_then(|first| packed.find(first, member, 0));
            if let Some(at) = found {
                packed::delete(run, at);
            }
            found.is_some()
        }
        SetRef::Table(_) => false,
    }
}

/// A set outside of any database.
#[derive(Debug)]
pub struct OwnedSet {
    form: OwnedForm,
    making: Making,
}

#[derive(Debug)]
enum OwnedForm {
    Run(OwnedRun),
    Table(Box<Set>),
}

#[derive(Debug)]
struct OwnedRun {
    encoding: Encoding,
    bytes: Vec<u8>,
}

impl OwnedRun {
    fn new(encoding: Encoding) -> OwnedRun {
        let bytes = match encoding {
            Encoding::IntSet => intset::new().to_vec(),
            _ => packed::new().to_vec(),
        };
        OwnedRun { encoding, bytes }
    }
}

impl Buffer for OwnedRun {
    fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    fn splice(&mut self, at: usize, removed: usize, added: usize) -> &mut [u8] {
        Buffer::splice(&mut self.bytes, at, removed, added)
    }
}

impl Run for OwnedRun {
    fn encoding(&self) -> Encoding {
        self.encoding
    }

    fn replace_as(&mut self, encoding: Encoding, bytes: &[u8]) {
        self.encoding = encoding;
        self.bytes = bytes.to_vec();
    }
}

impl OwnedSet {
    /// An empty set, in the smallest form.
    pub fn new(making: Making) -> OwnedSet {
        OwnedSet { form: OwnedForm::Run(OwnedRun::new(Encoding::IntSet)), making }
    }

    /// An empty set in the form that Redis gives it when so many members are about to come.
    fn for_members(first: &[u8], count: usize, making: Making) -> OwnedSet {
        let is_integer = Needle::new(first).integer().is_some();
        let form = if is_integer && making.limits.admits(Encoding::IntSet, count) {
            OwnedForm::Run(OwnedRun::new(Encoding::IntSet))
        } else if making.limits.admits(Encoding::Listpack, count) {
            OwnedForm::Run(OwnedRun::new(Encoding::Listpack))
        } else {
            OwnedForm::Table(Box::new(Set::new(making.seed)))
        };
        OwnedSet { form, making }
    }

    pub fn as_ref(&self) -> SetRef<'_> {
        match &self.form {
            OwnedForm::Run(run) => run.set(),
            OwnedForm::Table(set) => SetRef::Table(set),
        }
    }

    /// Adds a member; false if it was there.
    pub fn add(&mut self, member: &[u8]) -> bool {
        match &mut self.form {
            OwnedForm::Run(run) => match add_to_run(run, member, self.making.limits) {
                Some(is_new) => is_new,
                None => {
                    let mut table = table_of(run.set(), self.making.seed);
                    let is_new = table.insert(member);
                    self.form = OwnedForm::Table(Box::new(table));
                    is_new
                }
            },
            OwnedForm::Table(set) => set.insert(member),
        }
    }

    /// Of an item that is a set.
    pub fn of_item(item: Item, making: Making) -> OwnedSet {
        let form = match item.into_collection::<Set>() {
            Some(OwnedCollection::Packed(encoding, bytes)) => {
                OwnedForm::Run(OwnedRun { encoding, bytes })
            }
            Some(OwnedCollection::Object(set)) => OwnedForm::Table(set),
            None => OwnedForm::Run(OwnedRun::new(Encoding::IntSet)),
        };
        OwnedSet { form, making }
    }

    /// A copy of a set. A small one gets the form that a new one has.
    pub fn copy_of(set: SetRef<'_>, making: Making) -> OwnedSet {
        let form = match set {
            SetRef::Table(set) if !making.limits.may_be_a_run(set.len()) => {
                OwnedForm::Table(Box::new(set.clone()))
            }
            set => {
                let mut copy = OwnedSet::new(making);
                copy.add_all(set.iter());
                return copy;
            }
        };
        OwnedSet { form, making }
    }

    /// Adds all members of another set.
    pub fn add_all<'m>(&mut self, members: impl Iterator<Item = Element<'m>>) {
        for member in members {
            self.add(member.text(&mut Digits::default()));
        }
    }

    /// The set at a key.
    pub fn into_item(self, key: &[u8]) -> Item {
        match self.form {
            OwnedForm::Run(run) => {
                Item::packed(key, Kind::Set, run.encoding, run.bytes.into_boxed_slice())
            }
            OwnedForm::Table(set) => Item::object(key, Object::Set(set)),
        }
    }
}

fn table_of(set: SetRef<'_>, seed: u64) -> Set {
    let mut table = Set::new(seed);
    for member in set.iter() {
        table.insert(member.text(&mut Digits::default()));
    }
    table
}

/// A set to change. What changes nothing tells nobody who watches the key.
pub struct SetMut<'a> {
    form: CollectionMut<'a, Set>,
}

impl<'a> SetMut<'a> {
    #[inline]
    pub fn new(entry: EntryMut<'a>) -> Result<SetMut<'a>, WrongType> {
        Ok(SetMut { form: entry.into_collection()? })
    }

    /// A new set of these members, of which there is at least one; gives how many they are.
    pub fn create<'m>(
        slot: VacantSlot<'a>,
        members: impl ExactSizeIterator<Item = &'m [u8]> + Clone,
        making: Making,
    ) -> usize {
        let first = members.clone().next().unwrap_or_default();
        let mut set = OwnedSet::for_members(first, members.len(), making);
        let added = members.filter(|member| set.add(member)).count();
        match set.form {
            OwnedForm::Run(run) => slot.insert_packed(Kind::Set, run.encoding, &run.bytes),
            OwnedForm::Table(set) => slot.insert_object(Object::Set(set)),
        };
        added
    }

    #[inline]
    pub fn as_ref(&self) -> SetRef<'_> {
        match &self.form {
            CollectionMut::Packed(run) => run.set(),
            CollectionMut::Object(object) => SetRef::Table(object.get()),
        }
    }

    /// Adds members; gives how many are new.
    #[inline]
    pub fn add<'m>(
        self,
        mut members: impl ExactSizeIterator<Item = &'m [u8]>,
        making: Making,
    ) -> usize {
        let mut run = match self.form {
            CollectionMut::Packed(run) => run,
            CollectionMut::Object(mut object) => {
                return object.update_if(|set| positive(add_to_table(set, members))).unwrap_or(0);
            }
        };
        let mut added = 0;
        // As in Redis, what many arguments make of a set does not depend on how many are new.
        let mut rejected = None;
        if making.limits.admits(run.encoding(), members.len()) {
            loop {
                let Some(member) = members.next() else { return added };
                match add_to_run(&mut run, member, making.limits) {
                    Some(is_new) => added += usize::from(is_new),
                    None => {
                        rejected = Some(member);
                        break;
                    }
                }
            }
        }
        let mut table = table_of(run.set(), making.seed);
        let added_to_table = add_to_table(&mut table, rejected.into_iter().chain(members));
        if added_to_table > 0 {
            run.convert(table);
        }
        added + added_to_table
    }

    /// Removes members, and the key if none is left; gives how many there were.
    #[inline]
    pub fn remove<'m>(self, members: impl Iterator<Item = &'m [u8]>) -> usize {
        match self.form {
            CollectionMut::Packed(mut run) => {
                let mut removed = 0;
                for member in members {
                    let member = Needle::new(member);
                    if run.set().len() == 1 && run.set().contains(&member) {
                        run.remove();
                        return removed + 1;
                    }
                    removed += usize::from(remove_from_run(&mut run, &member));
                }
                removed
            }
            CollectionMut::Object(mut object) => {
                let removed = object
                    .update_if(|set| positive(members.filter(|member| set.remove(member)).count()));
                object.remove_if_empty();
                removed.unwrap_or(0)
            }
        }
    }

    /// Takes out so many members chosen by random numbers, fewer than there are.
    pub fn remove_random(
        self,
        count: usize,
        mut next_random: impl FnMut() -> u64,
        mut show: impl FnMut(Element<'_>),
    ) {
        match self.form {
            CollectionMut::Packed(mut run) => {
                for _ in 0..count {
                    let chosen = run.set().random(&mut next_random).map(Element::to_vec);
                    let Some(member) = chosen else { return };
                    show(Element::Bytes(&member));
                    remove_from_run(&mut run, &Needle::new(&member));
                }
            }
            CollectionMut::Object(mut object) => {
                object.update_if(|set| {
                    for _ in 0..count {
                        let member = set.random(&mut next_random)?.to_vec();
                        show(Element::Bytes(&member));
                        set.remove(&member);
                    }
                    (count > 0).then_some(())
                });
            }
        }
    }

    /// Removes the key and all that it holds.
    pub fn remove_all(self) {
        match self.form {
            CollectionMut::Packed(run) => run.remove(),
            CollectionMut::Object(object) => object.remove(),
        }
    }
}

fn add_to_table<'m>(set: &mut Set, members: impl Iterator<Item = &'m [u8]>) -> usize {
    members.filter(|member| set.insert(member)).count()
}

fn positive(count: usize) -> Option<usize> {
    Some(count).filter(|&count| count > 0)
}
