-- Each row is a reason not to begin.
select 'the code 4711 is there already' from ledger_codes where code = '4711';
