//! A hash at a key, in whichever form it has: one packed run in its entry, of pairs (`listpack`) or
//! of triples with expiries (`listpackex`), or a table in an object (`hashtable`). The forms change
//! into each other where Redis's do.

use crate::commands::sampling::below;
use crate::commands::{CommandError, Context};
use crate::store::value::hash::{Field, FieldExpiry, Fields, Layout, edit};
use crate::store::value::packed::{self, Element, Full, Needle};
use crate::store::{
    Buffer, Collection, CollectionMut, CollectionRef, Encoding, EntryMut, EntryRef, Events, Hash,
    Item, Kind, PackedMut, Shard, Slot, UnixMs, VacantSlot, WrongType,
};

/// A hash to read, as it is at a moment: what has expired by then is not there.
#[derive(Clone, Copy)]
pub struct HashRef<'a> {
    form: Form<'a>,
    now: UnixMs,
}

#[derive(Clone, Copy)]
pub enum Form<'a> {
    Packed(Fields<'a>),
    Table(&'a Hash),
}

impl<'a> HashRef<'a> {
    #[inline]
    pub fn new(entry: EntryRef<'a>, now: UnixMs) -> Result<HashRef<'a>, WrongType> {
        let form = match entry.collection()? {
            CollectionRef::Packed(run) => {
                Form::Packed(Fields::new(run, Layout::of(entry.encoding())))
            }
            CollectionRef::Object(hash) => Form::Table(hash),
        };
        Ok(HashRef { form, now })
    }

    pub fn form(self) -> Form<'a> {
        self.form
    }

    pub fn now(self) -> UnixMs {
        self.now
    }

    pub fn len(self) -> usize {
        match self.form {
            Form::Packed(fields) => fields.len() - fields.expired(self.now),
            Form::Table(hash) => hash.len() - hash.expired(self.now),
        }
    }

    #[inline]
    pub fn get(self, name: &[u8]) -> Option<Field<'a>> {
        match self.form {
            Form::Packed(fields) => {
                let field = fields.at(fields.find(&Needle::new(name))?)?;
                (!field.is_expired(self.now)).then_some(field)
            }
            Form::Table(hash) => hash.get(name, self.now),
        }
    }

    /// Shows all fields.
    #[inline]
    pub fn visit(self, show: impl FnMut(Field<'a>)) {
        match self.form {
            Form::Packed(fields) => {
                fields.iter().filter(|field| !field.is_expired(self.now)).for_each(show);
            }
            Form::Table(hash) => hash.iter(self.now).for_each(show),
        }
    }

    /// A field chosen at random, every one as likely as any other.
    pub fn random(self, mut next_random: impl FnMut() -> u64) -> Option<Field<'a>> {
        match self.form {
            Form::Packed(fields) => {
                let expired = fields.expired(self.now);
                fields.nth(expired + below(fields.len() - expired, &mut next_random)?)
            }
            Form::Table(hash) => hash.random(self.now, next_random),
        }
    }
}

/// When a hash is no packed run any more: `hash-max-listpack-entries` and
/// `hash-max-listpack-value`.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    entries: usize,
    value_bytes: usize,
    /// Of the table that a run becomes.
    seed: u64,
}

/// The longest run, bytes: Redis's LISTPACK_MAX_SAFETY_LIMIT.
const RUN_BYTES_MAX: usize = 1 << 30;

impl Limits {
    #[inline]
    pub fn new(context: &mut Context<'_>) -> Limits {
        let config = context.config;
        Limits {
            entries: usize::try_from(config.hash_max_listpack_entries).unwrap_or(0),
            value_bytes: usize::try_from(config.hash_max_listpack_value).unwrap_or(usize::MAX),
            seed: context.shard.next_random(),
        }
    }

    /// Whether a run of so many bytes may have this in it, too.
    #[inline]
    fn admit(self, run_bytes: usize, name: &[u8], value: &[u8]) -> bool {
        name.len() <= self.value_bytes
            && value.len() <= self.value_bytes
            && run_bytes.saturating_add(name.len()).saturating_add(value.len()) < RUN_BYTES_MAX
    }
}

/// The place of a hash that is to be changed, without what has expired.
#[inline]
pub fn slot<'a>(
    shard: &'a mut Shard,
    db_index: usize,
    key: &'a [u8],
    now: UnixMs,
    event: impl Into<Events>,
) -> Slot<'a> {
    shard.db_mut(db_index).slot(key, now, event).without_expired_fields(key)
}

/// A hash outside of any entry.
#[derive(Debug)]
pub struct NewHash {
    form: NewForm,
    limits: Limits,
}

#[derive(Debug)]
enum NewForm {
    Run(Vec<u8>, Layout),
    Table(Hash),
}

impl NewHash {
    pub fn new(limits: Limits) -> NewHash {
        NewHash { form: NewForm::Run(packed::new().to_vec(), Layout::Pairs), limits }
    }

    /// Adds a field; false if there is one of that name already.
    pub fn add(
        &mut self,
        name: &[u8],
        value: &[u8],
        expiry: Option<UnixMs>,
    ) -> Result<bool, CommandError> {
        let limits = self.limits;
        if let NewForm::Run(run, layout) = &mut self.form {
            let fields = Fields::new(run, *layout);
            if fields.len() < limits.entries && limits.admit(run.len(), name, value) {
                if expiry.is_some() && *layout == Layout::Pairs {
                    *run = edit::with_expiries(fields).map_err(full)?;
                    *layout = Layout::Triples;
                }
                let is_there = Fields::new(run, *layout).find(&Needle::new(name)).is_some();
                if !is_there {
                    let (name, value) = (Element::from(name), Element::from(value));
                    edit::add(run, *layout, name, value, expiry).map_err(full)?;
                }
                return Ok(!is_there);
            }
            self.form = NewForm::Table(Hash::from_fields(fields, limits.seed));
        }
        let NewForm::Table(hash) = &mut self.form else { return Ok(false) };
        let expiry = expiry.map_or(FieldExpiry::Clear, FieldExpiry::At);
        Ok(hash.set(name, value, expiry, 0))
    }

    /// The hash at a key, unless it has no field.
    pub fn into_item(self, key: &[u8]) -> Option<Item> {
        match self.form {
            NewForm::Run(run, layout) => {
                let encoding = match layout {
                    Layout::Pairs => Encoding::Listpack,
                    Layout::Triples => Encoding::ListpackEx,
                };
                let has_fields = !Fields::new(&run, layout).is_empty();
                has_fields.then(|| Item::packed(key, Kind::Hash, encoding, run.into_boxed_slice()))
            }
            NewForm::Table(hash) => Some(Item::object(key, hash.into_object())),
        }
    }
}

/// A hash to change. What changes nothing tells nobody who watches the key.
///
/// It may be left without fields: [`HashMut::finish`] then removes its key.
pub struct HashMut<'a> {
    form: CollectionMut<'a, Hash>,
    limits: Limits,
    now: UnixMs,
}

impl<'a> HashMut<'a> {
    #[inline]
    pub fn new(entry: EntryMut<'a>, limits: Limits, now: UnixMs) -> Result<HashMut<'a>, WrongType> {
        Ok(HashMut { form: entry.into_collection()?, limits, now })
    }

    /// A new hash of these fields, of which there is at least one; gives how many names they are.
    #[inline]
    pub fn create<'v>(
        slot: VacantSlot<'a>,
        fields: impl ExactSizeIterator<Item = (&'v [u8], &'v [u8])> + Clone,
        expiry: FieldExpiry,
        limits: Limits,
    ) -> Result<usize, CommandError> {
        let (layout, encoding) = match expiry {
            FieldExpiry::At(_) => (Layout::Triples, Encoding::ListpackEx),
            FieldExpiry::Clear | FieldExpiry::Keep => (Layout::Pairs, Encoding::Listpack),
        };
        let fit = fields.len() <= limits.entries
            && fields.clone().all(|(name, value)| limits.admit(0, name, value));
        if fit {
            let mut run = packed::new().to_vec();
            let mut count = 0;
            for (name, value) in fields {
                let is_new = put(&mut run, layout, name, value, expiry).map_err(full)?;
                count += usize::from(is_new);
            }
            slot.insert_packed(Kind::Hash, encoding, &run);
            return Ok(count);
        }
        let mut hash = Hash::new(limits.seed);
        for (name, value) in fields {
            hash.set(name, value, expiry, 0);
        }
        let count = hash.len();
        slot.insert_object(hash.into_object());
        Ok(count)
    }

    #[inline]
    pub fn as_ref(&self) -> HashRef<'_> {
        let form = match &self.form {
            CollectionMut::Packed(run) => Form::Packed(fields(run)),
            CollectionMut::Object(object) => Form::Table(object.get()),
        };
        HashRef { form, now: self.now }
    }

    /// Before so many fields are set: a run becomes a table at once if they are too many for it, as
    /// in Redis 7.2 even if they are not different ones.
    #[inline]
    pub fn expect(self, count: usize) -> HashMut<'a> {
        if count > self.limits.entries { self.into_table() } else { self }
    }

    /// Gives a field a value; says whether there was none.
    #[inline]
    pub fn set(
        mut self,
        name: &[u8],
        value: &[u8],
        expiry: FieldExpiry,
    ) -> Result<(HashMut<'a>, bool), CommandError> {
        let limits = self.limits;
        let is_new = match &mut self.form {
            CollectionMut::Packed(run) if limits.admit(run.bytes().len(), name, value) => {
                set_in_run(run, name, value, expiry)?
            }
            CollectionMut::Packed(_) => {
                return Ok(self.into_table().set_in_table(name, value, expiry));
            }
            CollectionMut::Object(_) => return Ok(self.set_in_table(name, value, expiry)),
        };
        if is_new && self.as_ref().len() > limits.entries {
            self = self.into_table();
        }
        Ok((self, is_new))
    }

    fn set_in_table(
        mut self,
        name: &[u8],
        value: &[u8],
        expiry: FieldExpiry,
    ) -> (HashMut<'a>, bool) {
        let now = self.now;
        let is_new = match &mut self.form {
            CollectionMut::Object(object) => {
                object.update(|hash| hash.set(name, value, expiry, now))
            }
            CollectionMut::Packed(_) => unreachable!("called on tables only"),
        };
        (self, is_new)
    }

    /// Removes a field, shown before it goes.
    #[inline]
    pub fn remove<R>(&mut self, name: &[u8], show: impl FnOnce(Field<'_>) -> R) -> Option<R> {
        let now = self.now;
        match &mut self.form {
            CollectionMut::Packed(run) => {
                let fields = fields(run);
                let place = fields.find(&Needle::new(name))?;
                let shown = show(fields.at(place)?);
                match fields.layout() {
                    Layout::Pairs => edit::remove(run, Layout::Pairs, place),
                    Layout::Triples => {
                        run.reschedule(|run| edit::remove(run, Layout::Triples, place));
                    }
                }
                Some(shown)
            }
            CollectionMut::Object(object) => object.update_if(|hash| hash.remove(name, now, show)),
        }
    }

    /// Gives a field that is there this expiry or none.
    pub fn set_expiry(&mut self, name: &[u8], expiry: Option<UnixMs>) -> Result<(), CommandError> {
        match &mut self.form {
            CollectionMut::Packed(run) => {
                make_room_for_expiries(run)?;
                let Some(place) = fields(run).find(&Needle::new(name)) else { return Ok(()) };
                run.reschedule(|run| edit::set_expiry(run, place, expiry)).map_err(full)
            }
            CollectionMut::Object(object) => {
                object.update(|hash| hash.set_expiry(name, expiry));
                Ok(())
            }
        }
    }

    /// Removes the key if no field is left.
    #[inline]
    pub fn finish(self) {
        match self.form {
            CollectionMut::Packed(run) => {
                if fields(&run).is_empty() {
                    run.remove();
                }
            }
            CollectionMut::Object(object) => {
                object.remove_if_empty();
            }
        }
    }

    fn into_table(self) -> HashMut<'a> {
        let HashMut { form, limits, now } = self;
        let form = match form {
            CollectionMut::Packed(run) => {
                let hash = Hash::from_fields(fields(&run), limits.seed);
                CollectionMut::Object(run.convert(hash))
            }
            CollectionMut::Object(object) => CollectionMut::Object(object),
        };
        HashMut { form, limits, now }
    }
}

#[inline]
fn fields<'r>(run: &'r PackedMut<'_>) -> Fields<'r> {
    Fields::new(run.bytes(), Layout::of(run.encoding()))
}

fn make_room_for_expiries(run: &mut PackedMut<'_>) -> Result<(), CommandError> {
    if Layout::of(run.encoding()) == Layout::Pairs {
        let with_expiries = edit::with_expiries(fields(run)).map_err(full)?;
        run.replace_as(Encoding::ListpackEx, &with_expiries);
    }
    Ok(())
}

#[inline]
fn set_in_run(
    run: &mut PackedMut<'_>,
    name: &[u8],
    value: &[u8],
    expiry: FieldExpiry,
) -> Result<bool, CommandError> {
    if matches!(expiry, FieldExpiry::At(_)) {
        make_room_for_expiries(run)?;
    }
    let is_new = match Layout::of(run.encoding()) {
        Layout::Pairs => put(run, Layout::Pairs, name, value, expiry),
        Layout::Triples => run.reschedule(|run| put(run, Layout::Triples, name, value, expiry)),
    };
    is_new.map_err(full)
}

/// Gives a field of a run a value; whether there was none.
#[inline]
fn put(
    run: &mut impl Buffer,
    layout: Layout,
    name: &[u8],
    value: &[u8],
    expiry: FieldExpiry,
) -> Result<bool, Full> {
    let fields = Fields::new(run.bytes(), layout);
    let needle = Needle::new(name);
    let Some(place) = fields.find(&needle) else {
        edit::add(run, layout, needle.element(), value.into(), expiry.resolve(None))?;
        return Ok(true);
    };
    let old = fields.at(place).and_then(|field| field.expiry);
    edit::set_value(run, place, Element::from(value))?;
    match expiry {
        FieldExpiry::Clear if old.is_some() => edit::set_expiry(run, place, None)?,
        FieldExpiry::Clear | FieldExpiry::Keep => {}
        FieldExpiry::At(at) => edit::set_expiry(run, place, Some(at))?,
    }
    Ok(false)
}

/// No run becomes that long: [`Limits::admit`] sees to it.
fn full(_: Full) -> CommandError {
    CommandError::text("ERR hash too large")
}
