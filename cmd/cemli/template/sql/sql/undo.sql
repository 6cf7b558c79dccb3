delete from ledger_codes where code = '4711';
