insert into ledger_codes (code, name) values ('4711', 'Travel');
