-- The rows that the change touches, as they are now. This becomes evidence: no names, no bank accounts.
select s.id || ',' || s.term from suppliers s where s.id in (select id from suppliers_chg0045010) order by s.id;
