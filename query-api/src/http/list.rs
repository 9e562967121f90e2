//! One page of a list: a cursor leads in, a cursor leads on.

use contract::cursor::Cursor;
use contract::list::{Limit, Page};
use contract::{Cursors, Problem};

use crate::Api;
use crate::read_model::{self, After, Paging};

/// A list as one query asks for it.
pub(super) struct List<'a> {
    cursors: &'a Cursors,
    query: String,
    /// Which part of it is wanted.
    pub(super) paging: Paging,
}

impl<'a> List<'a> {
    /// `query` names everything that decides which rows there are: the route and the filters, and
    /// whose rows they are. A cursor belongs to it; the page's length may change.
    pub(super) fn new(
        api: &'a Api,
        query: String,
        limit: Limit,
        cursor: Option<&str>,
    ) -> Result<Self, Problem> {
        let cursors = api.cursors();
        let after = cursor.map(|text| cursors.read(&query, text)).transpose()?;
        let after = after.map(|Cursor { at, id }| After { at, id });
        Ok(Self {
            cursors,
            query,
            paging: Paging {
                after,
                limit: limit.get().into(),
            },
        })
    }

    /// The answer, with the cursor that leads on.
    pub(super) fn page<Row, Shown>(
        self,
        page: read_model::Page<Row>,
        shown: impl FnMut(Row) -> Result<Shown, Problem>,
    ) -> Result<Page<Shown>, Problem> {
        let next_cursor = page
            .next
            .map(|After { at, id }| self.cursors.issue(&self.query, &Cursor { at, id }));
        let items = page
            .items
            .into_iter()
            .map(shown)
            .collect::<Result<_, _>>()?;
        Ok(Page { items, next_cursor })
    }
}
