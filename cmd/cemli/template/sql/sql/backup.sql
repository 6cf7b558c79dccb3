select code, name from ledger_codes order by code;
