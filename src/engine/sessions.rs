//! The sessions of this core, by their connections.

use super::event::ConnId;
use crate::session::Session;

#[derive(Debug, Default)]
pub(super) struct Sessions {
    slots: Vec<Option<Box<Session>>>,
    len: usize,
    /// Those whose connection is gone and whose EXEC is still under way.
    #[expect(clippy::vec_box, reason = "they move from their slots")]
    detached: Vec<Box<Session>>,
}

impl Sessions {
    #[inline]
    pub fn get_mut(&mut self, conn: ConnId) -> Option<&mut Session> {
        if !self.detached.is_empty()
            && let Some(at) = self.detached.iter().position(|session| session.conn == conn)
        {
            return Some(&mut self.detached[at]);
        }
        let session = self.slots.get_mut(conn.index as usize)?.as_deref_mut()?;
        (session.conn == conn).then_some(session)
    }

    /// The connection that has the place which `conn` is to have.
    pub fn in_place_of(&self, conn: ConnId) -> Option<ConnId> {
        let session = self.slots.get(conn.index as usize)?.as_deref()?;
        Some(session.conn)
    }

    /// Its place must be free.
    pub fn insert(&mut self, session: Box<Session>) {
        let index = session.conn.index as usize;
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, || None);
        }
        let replaced = self.slots[index].replace(session);
        debug_assert!(replaced.is_none());
        self.len += usize::from(replaced.is_none());
    }

    pub fn remove(&mut self, conn: ConnId) -> Option<Box<Session>> {
        if self.in_place_of(conn) != Some(conn) {
            return None;
        }
        self.len -= 1;
        self.slots[conn.index as usize].take()
    }

    /// Keeps a session without its connection, until [`Sessions::forget`].
    pub fn detach(&mut self, conn: ConnId) {
        if self.in_place_of(conn) == Some(conn)
            && let Some(session) = self.slots[conn.index as usize].take()
        {
            self.len -= 1;
            self.detached.push(session);
        }
    }

    /// Forgets a detached session.
    pub fn forget(&mut self, conn: ConnId) -> Option<Box<Session>> {
        let at = self.detached.iter().position(|session| session.conn == conn)?;
        Some(self.detached.swap_remove(at))
    }

    pub fn detached(&self) -> usize {
        self.detached.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// Bytes of all sessions, by walking over them.
    pub fn memory(&self) -> usize {
        self.iter().chain(self.detached.iter().map(|session| &**session)).map(Session::memory).sum()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Session> {
        self.slots.iter().flatten().map(|session| &**session)
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Session> {
        self.slots.iter_mut().flatten().map(|session| &mut **session)
    }
}
