update suppliers set term = 'NET60' where id in (select id from suppliers_chg0045010);
