create table items (
  key text primary key,
  value text not null,
  revision integer not null,
  expires integer
) without rowid;
create index items_by_expiry on items (expires) where expires is not null;
create table events (
  revision integer not null,
  position integer not null,
  key text not null,
  -- null: the key was deleted
  value text,
  expires integer,
  at integer not null,
  primary key (revision, position)
) without rowid;
create table counters (name text primary key, value integer not null) without rowid;
insert into counters values ('revision', 0), ('compacted', 0);
