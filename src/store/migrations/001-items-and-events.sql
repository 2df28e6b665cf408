-- What there is now. `expires` is in milliseconds since the epoch.
create table items (
  key text primary key,
  value text not null,
  revision integer not null,
  expires integer
) without rowid;
create index items_by_expiry on items (expires) where expires is not null;

-- What has changed, for watchers; `position` counts inside a commit, and a null value is a deletion. `value` comes
-- last, so that compaction reads no large values.
create table events (
  revision integer not null,
  position integer not null,
  at integer not null,
  key text not null,
  expires integer,
  value text,
  primary key (revision, position)
) without rowid;

-- `revision` is that of the newest commit, `compacted` of the newest one whose events are gone.
create table counters (name text primary key, value integer not null) without rowid;
insert into counters values ('revision', 0), ('compacted', 0);
