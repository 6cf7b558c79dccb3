create table if not exists ledger_codes (code text primary key, name text not null);
insert or ignore into ledger_codes values ('1000', 'Cash');
